# docs/findings.md: the first-stage labels are the paper's: excitation maps of the best proposal and of all that overlap it (Sec. 3.2).
_base_ = '../labelpenet_lite0_animals.py'
__labels = dict(_delete_=True, type='ProposalCalibration', max_per_tag=1, nms_thr=0.0, peak=0.85, min_iou=0.0, crf='small', cut=dict())
model = dict(map_evidence=False, stages=dict(classification=dict(labels=__labels)))

# Only the classification stage of Label-PEnet on ResNet-50 for natural images, the basis of WSDDN, OICR and PCL.
_base_ = './labelpenet_r50_photo.py'

__labels = dict(_delete_=True, type='ProposalCalibration', max_per_tag=1, nms_thr=0.0, peak=0.85, min_iou=0.0, crf='small', cut=dict())
__alone = dict(detector=dict(roi_head=dict(tag_head=None)), labels=__labels)
model = dict(map_evidence=False, stages=dict(classification=__alone, detection=None, refinement=None, segmentation=None))

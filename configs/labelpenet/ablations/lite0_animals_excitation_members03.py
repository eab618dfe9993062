# C8: NMS and membership at an IoU of 0.3, the default of ProposalCalibration, instead of any overlap.
_base_ = './lite0_animals_excitation.py'
model = dict(stages=dict(classification=dict(labels=dict(nms_thr=0.3))))

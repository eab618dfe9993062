# C2: binary cross-entropy per class on the scores of Eq. 1.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(bbox_head=dict(mil_loss=dict(type='MILSigmoidLoss')))))))

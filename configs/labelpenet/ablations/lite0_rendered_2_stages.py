# Table 1: classification and detection.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(refinement=None, segmentation=None))
train_cfg = dict(phases=dict(refinement=None, segmentation=None))

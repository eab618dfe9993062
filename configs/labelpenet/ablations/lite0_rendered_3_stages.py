# Table 1: all stages except segmentation.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(segmentation=None))
train_cfg = dict(phases=dict(segmentation=None))

# Table 1: only the classification stage.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
train_cfg = dict(phases=dict(detection=None, refinement=None, segmentation=None, recurrent=None))

# Only the classification stage.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
train_cfg = dict(phases=dict(detection=None, refinement=None, segmentation=None, recurrent=None))

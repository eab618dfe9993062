# The detection stage as the last one: classification and detection.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(stages=dict(refinement=None, segmentation=None))
train_cfg = dict(phases=dict(refinement=None, segmentation=None))

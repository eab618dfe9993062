# The refinement stage as the last: all but the segmentation stage.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(stages=dict(segmentation=None))
train_cfg = dict(phases=dict(segmentation=None))

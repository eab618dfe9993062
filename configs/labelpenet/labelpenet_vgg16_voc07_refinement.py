# The refinement stage as the last one: all stages except segmentation.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(stages=dict(segmentation=None))
train_cfg = dict(phases=dict(segmentation=None))

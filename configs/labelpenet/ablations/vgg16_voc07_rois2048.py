# L4: 2,048 RoIs an image instead of 512.
_base_ = '../labelpenet_vgg16_voc07.py'
__stage = dict(train_cfg=dict(rcnn=dict(sampler=dict(num=2048))))
model = dict(stages=dict(detection=__stage, refinement=__stage, segmentation=__stage))

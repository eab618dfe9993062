# L4: 2,048 RoIs per image instead of 512.
_base_ = '../labelpenet_vgg16_voc07.py'
__stage = dict(train_cfg=dict(rcnn=dict(sampler=dict(num=2048))))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

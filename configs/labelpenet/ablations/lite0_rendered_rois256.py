# L4: 256 RoIs per image instead of 64.
_base_ = '../labelpenet_lite0_rendered.py'
__stage = dict(train_cfg=dict(rcnn=dict(sampler=dict(num=256))))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

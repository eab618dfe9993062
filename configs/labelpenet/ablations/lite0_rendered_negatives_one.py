# L2: every negative has weight 1.
_base_ = '../labelpenet_lite0_rendered.py'
__one = dict(sampler=dict(negatives='one'))
__stage = dict(train_cfg=dict(rpn=__one, rcnn=__one))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

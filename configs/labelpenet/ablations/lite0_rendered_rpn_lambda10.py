# L3: 10 as weight of the regression in the RPN, as Faster R-CNN was first published.
_base_ = '../labelpenet_lite0_rendered.py'
__stage = dict(rpn_head=dict(loss_bbox=dict(loss_weight=10.0)))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

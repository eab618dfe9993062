# L3: regression weight 10 in the RPN, as in the original Faster R-CNN.
_base_ = '../labelpenet_lite0_rendered.py'
__stage = dict(rpn_head=dict(loss_bbox=dict(loss_weight=10.0)))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

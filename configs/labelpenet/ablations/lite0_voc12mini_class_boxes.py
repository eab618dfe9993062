# docs/findings.md: class-specific box regression, as in the paper's models.
_base_ = '../labelpenet_lite0_voc12mini.py'
__boxes = dict(detector=dict(roi_head=dict(bbox_head=dict(reg_class_agnostic=False))))
model = dict(stages=dict(detection=__boxes, refinement=__boxes, segmentation=__boxes))

# N7: class-agnostic masks in the segmentation stage only, so that the labels of refinement stay the same.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(segmentation=dict(detector=dict(roi_head=dict(mask_head=dict(class_agnostic=True))))))

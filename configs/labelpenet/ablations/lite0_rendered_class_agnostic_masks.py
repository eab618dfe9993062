# N7: one mask for all classes in the segmentation stage. The refinement stage, whose masks are added up by class, keeps its own.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(segmentation=dict(detector=dict(roi_head=dict(mask_head=dict(class_agnostic=True))))))

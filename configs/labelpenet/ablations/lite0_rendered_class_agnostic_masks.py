# N7: class-agnostic masks in the segmentation stage. The refinement stage, whose masks are summed per class, keeps class-specific ones.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(segmentation=dict(detector=dict(roi_head=dict(mask_head=dict(class_agnostic=True))))))

# C13: the box of a mask counts only if it overlaps its proposal by half.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        classification=dict(min_iou=0.5),
        detection=dict(min_iou=0.5),
        refinement=dict(min_iou=0.5),
    )
)

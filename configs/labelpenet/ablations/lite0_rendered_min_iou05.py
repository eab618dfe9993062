# C13: the box of a mask counts only if it overlaps its proposal by half.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(min_iou=0.5)), detection=dict(labels=dict(min_iou=0.5)), refinement=dict(labels=dict(min_iou=0.5))
    )
)

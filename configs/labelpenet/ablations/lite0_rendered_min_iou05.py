# C13: the box of a mask is used only if its IoU with the proposal is at least 0.5.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(min_iou=0.5)), detection=dict(labels=dict(min_iou=0.5)), refinement=dict(labels=dict(min_iou=0.5))
    )
)

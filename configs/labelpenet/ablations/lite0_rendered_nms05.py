# C8: NMS at 0.5 when labels are generated; fewer proposals support an object.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(nms_thr=0.5)), detection=dict(labels=dict(nms_thr=0.5)), refinement=dict(labels=dict(nms_thr=0.5))
    )
)

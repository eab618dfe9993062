# N8: RoIPool, the operator of the paper, in every stage.
_base_ = '../labelpenet_lite0_rendered.py'
__cells = {size: dict(roi_layer=dict(_delete_=True, type='RoIPool', output_size=size)) for size in (3, 7, 14)}
__mask_rcnn = dict(roi_head=dict(bbox_roi_extractor=__cells[7], mask_roi_extractor=__cells[14]))
model = dict(
    stages=dict(
        classification=dict(detector=dict(roi_head=dict(bbox_roi_extractor=__cells[3]))),
        detection=dict(detector=dict(roi_head=dict(bbox_roi_extractor=__cells[7]))),
        refinement=dict(detector=__mask_rcnn),
        segmentation=dict(detector=__mask_rcnn),
    )
)

# N8: RoIAlign in every stage.
_base_ = '../labelpenet_vgg16_voc07.py'
__align = dict(roi_layer=dict(type='RoIAlign', sampling_ratio=2))
__mask_rcnn = dict(roi_head=dict(bbox_roi_extractor=__align, mask_roi_extractor=__align))
__detector = dict(roi_head=dict(bbox_roi_extractor=__align))
model = dict(
    stages=dict(
        classification=dict(detector=__detector),
        detection=dict(detector=__detector),
        refinement=dict(detector=__mask_rcnn),
        segmentation=dict(detector=__mask_rcnn),
    )
)

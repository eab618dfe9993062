# N1: pool4 with stride 2 as published and conv5 without dilation, in all stages; maps of stride 16.
_base_ = '../labelpenet_vgg16_voc07.py'
__tail = dict(pool4_stride=2, dilation=1)
__rpn_head = dict(anchor_generator=dict(scales=[8, 16, 32], strides=[16]))  # the same 128, 256 and 512 pixels
__box = dict(featmap_strides=[16])
__mask_rcnn = dict(
    backbone=__tail, rpn_head=__rpn_head, roi_head=dict(bbox_roi_extractor=__box, mask_roi_extractor=dict(featmap_strides=[16, 16]))
)
model = dict(
    stages=dict(
        classification=dict(detector=dict(backbone=__tail, roi_head=dict(bbox_roi_extractor=__box))),
        detection=dict(detector=dict(backbone=__tail, rpn_head=__rpn_head, roi_head=dict(bbox_roi_extractor=__box))),
        refinement=dict(detector=__mask_rcnn),
        segmentation=dict(detector=__mask_rcnn),
    )
)

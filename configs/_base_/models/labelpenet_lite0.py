# CPU-sized Label-PEnet: EfficientNet-Lite0 up to its 112-channel blocks is shared (stride 8), the tail of each stage is ASPP.
_base_ = './labelpenet_small.py'

__imagenet = dict(type='ImageNetWeights', arch='efficientnet_lite0', preset='tensorflow')
__tail = dict(type='ASPPTail', in_channels=112, channels=64, out_channels=128, init_cfg=dict(type='Kaiming', layer='Conv2d'))
__rpn_head = dict(in_channels=112, anchor_generator=dict(scales=[4, 8, 16], strides=[8]))
__extractor = dict(featmap_strides=[8, 8])
__mask_rcnn = dict(
    backbone=__tail,
    rpn_head=__rpn_head,
    roi_head=dict(bbox_roi_extractor=__extractor, mask_roi_extractor=__extractor),
)

model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0], bgr_to_rgb=True),
    backbone=dict(type='EfficientNetLite0C4', out_stride=8, init_cfg=dict(__imagenet, part='backbone')),
    stages=dict(
        classification=dict(
            detector=dict(roi_head=dict(bbox_roi_extractor=dict(out_channels=112, featmap_strides=[8]), bbox_head=dict(in_channels=112)))
        ),
        detection=dict(detector=dict(backbone=__tail, rpn_head=__rpn_head, roi_head=dict(bbox_roi_extractor=__extractor))),
        refinement=dict(detector=__mask_rcnn),
        segmentation=dict(detector=__mask_rcnn),
    ),
)

# Label-PEnet on ResNet-50: conv1 to layer3 shared (stride 16), layer4 and ASPP as the tail of each stage.
_base_ = './labelpenet_small.py'

__imagenet = dict(
    type='ImageNetWeights',
    arch='resnet50',
    preset='caffe',
    checkpoint='{{$MMLABELPENET_DATA:data/VOCdevkit}}/../weights/resnet50_caffe_imagenet_fp16.pth',
)
__tail = dict(
    type='ResNetC5',
    with_input=True,
    aspp=dict(channels=64, out_channels=128, init_cfg=dict(type='Kaiming', layer='Conv2d')),
    init_cfg=dict(__imagenet, part='tail'),
)
__rpn_head = dict(in_channels=1024, anchor_generator=dict(scales=[2, 4, 8], strides=[16]))
__box_extractor = dict(featmap_strides=[16, 16])
__mask_rcnn = dict(
    backbone=__tail,
    rpn_head=__rpn_head,
    roi_head=dict(bbox_roi_extractor=__box_extractor, mask_roi_extractor=__box_extractor),
)

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(type='ResNetC4', depth=50, init_cfg=dict(__imagenet, part='backbone')),
    stages=dict(
        classification=dict(
            detector=dict(roi_head=dict(bbox_roi_extractor=dict(out_channels=1024, featmap_strides=[16]), bbox_head=dict(in_channels=1024)))
        ),
        detection=dict(detector=dict(backbone=__tail, rpn_head=__rpn_head, roi_head=dict(bbox_roi_extractor=__box_extractor))),
        refinement=dict(detector=__mask_rcnn),
        segmentation=dict(detector=__mask_rcnn),
    ),
)

# Label-PEnet on ResNet-50 for a few hundred natural images: every stage uses the frozen layer4, trained on ImageNet. All other settings are
# those of labelpenet_lite0_photo.py, which explains them.
_base_ = './labelpenet_r50.py'

__imagenet = dict(
    type='ImageNetWeights',
    arch='resnet50',
    preset='caffe',
    part='tail',
    checkpoint='{{$MMLABELPENET_DATA:data/VOCdevkit}}/../weights/resnet50_caffe_imagenet_fp16.pth',
)
__tail = dict(frozen=True)
__rpn_head = dict(anchor_generator=dict(scales=[3, 6, 12, 20]))
__bbox_head = dict(reg_class_agnostic=True)
__cut = dict(type='SuperpixelCut', prior=0.25)
__both = dict(__cut, from_box=True)
__test_cfg = dict(rcnn=dict(nms=dict(type='soft_nms', method='gaussian', sigma=0.3, min_score=1e-3)))
__detector = dict(backbone=__tail, rpn_head=__rpn_head, roi_head=dict(bbox_head=__bbox_head), test_cfg=__test_cfg)
model = dict(
    feature_cache=dict(dir='{{$MMLABELPENET_CACHE:work_dirs/feature_cache}}', max_gib=20),
    consensus=True,
    map_evidence=True,
    frozen_backbone=True,
    stages=dict(
        classification=dict(
            detector=dict(
                backbone=dict(_delete_=True, type='ResNetC5', frozen=True, init_cfg=__imagenet),
                roi_head=dict(
                    bbox_roi_extractor=dict(type='MeanRoIExtractor', roi_layer=dict(output_size=5, sampling_ratio=1), out_channels=2048),
                    bbox_head=dict(
                        _delete_=True,
                        type='PooledMILBBoxHead',
                        in_channels=2048,
                        roi_norm=dict(type='CentredNorm'),
                        mil_loss=dict(type='MILSoftmaxLoss'),
                    ),
                    tag_head=dict(type='TagHead', in_channels=2048),
                ),
            ),
            labels=dict(
                _delete_=True,
                type='ClassActivation',
                max_per_tag=1,
                min_iou=0.0,
                threshold=0.3,
                zooms=[1.5],
                spread=dict(),
                core=0.9,
                cut=dict(type='SuperpixelCut', min_fill=0.6),
            ),
        ),
        detection=dict(detector=__detector, labels=dict(box='proposal', peak=0.95, crf=None, cut=__both)),
        refinement=dict(detector=__detector, labels=dict(box='proposal', peak=0.95, crf=None, cut=__cut, weights='class')),
        segmentation=dict(detector=__detector),
    ),
    test_cfg=dict(image_evidence=True, crf=None, cut=__both, min_score=0.02),
)

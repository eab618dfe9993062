# Label-PEnet on ResNet-50 for a few hundred natural images: every stage uses the frozen layer4, trained on ImageNet.
_base_ = './labelpenet_r50.py'

__imagenet = dict(
    type='ImageNetWeights',
    arch='resnet50',
    preset='caffe',
    part='tail',
    checkpoint='{{$MMLABELPENET_DATA:data/VOCdevkit}}/../weights/resnet50_caffe_imagenet_fp16.pth',
)
__frozen = dict(backbone=dict(frozen=True))
__cut = dict(type='SuperpixelCut')
model = dict(
    feature_cache=dict(dir='{{$MMLABELPENET_CACHE:work_dirs/feature_cache}}', max_gib=20),  # of backbone and tails, which are frozen
    consensus=True,  # scores are averaged over the heads of this and all earlier stages
    frozen_backbone=True,  # as in Fig. 1; docs/records/benchmark.md compares both
    stages=dict(  # labels as for EfficientNet-Lite0
        classification=dict(
            detector=dict(
                backbone=dict(_delete_=True, type='ResNetC5', frozen=True, init_cfg=__imagenet),
                roi_head=dict(
                    bbox_roi_extractor=dict(type='MeanRoIExtractor', roi_layer=dict(output_size=5, sampling_ratio=1), out_channels=2048),
                    bbox_head=dict(
                        _delete_=True,
                        type='PooledMILBBoxHead',
                        in_channels=2048,
                        roi_norm=dict(type='CentredUnitNorm'),
                        mil_loss=dict(type='MILSoftmaxLoss'),
                    ),
                    tag_head=dict(type='TagHead', in_channels=2048),
                ),
            ),
            labels=dict(_delete_=True, type='ClassActivation', max_per_tag=1, min_iou=0.0, crf='small', cut=__cut),
        ),
        detection=dict(detector=__frozen, labels=dict(box='proposal', peak=0.95, cut=__cut)),
        refinement=dict(detector=__frozen, labels=dict(box='proposal', peak=0.95, cut=__cut, weights='class')),
        segmentation=dict(detector=__frozen),
    ),
    test_cfg=dict(image_evidence=True, crf=None, cut=__cut, min_score=0.02),
)

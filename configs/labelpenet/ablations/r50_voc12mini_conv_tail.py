# Sec. 4.1, N9: instead of fc6 and fc7, the ImageNet-trained layer4 on crops of 14x14 and average pooling; the paper's calibration
# propagates through it.
_base_ = '../labelpenet_r50_voc12mini.py'

__tail = dict(
    type='ResNetC5',
    stride=2,
    dilation=1,
    init_cfg=dict(
        type='ImageNetWeights',
        arch='resnet50',
        preset='caffe',
        part='tail',
        checkpoint='{{$MMLABELPENET_DATA:data/VOCdevkit}}/../weights/resnet50_caffe_imagenet_fp16.pth',
    ),
)
__head = dict(
    _delete_=True,
    type='ConvMILBBoxHead',
    tail=__tail,
    roi_norm=dict(type='CentredNorm'),
    mil_loss=dict(type='MILSoftmaxLoss'),
)
__labels = dict(
    _delete_=True,
    type='ProposalCalibration',
    max_per_tag=1,
    max_candidates=50,
    nms_thr=0.0,
    peak=0.85,
    min_iou=0.0,
    crf='small',
    cut=dict(),
)
model = dict(
    map_evidence=False,
    stages=dict(
        classification=dict(
            detector=dict(
                backbone=dict(_delete_=True, type='IdentityTail'),
                roi_head=dict(
                    chunk=100,
                    tag_head=None,
                    bbox_roi_extractor=dict(roi_layer=dict(output_size=14, sampling_ratio=2), out_channels=1024),
                    bbox_head=__head,
                ),
            ),
            labels=__labels,
        )
    ),
)
train_dataloader = label_dataloader = test_dataloader = corloc_dataloader = dict(dataset=dict(max_proposals=100))

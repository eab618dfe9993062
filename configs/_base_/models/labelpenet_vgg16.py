# Label-PEnet as in the paper (Sec. 4.1): VGG-16 up to relu4_3 is shared; each stage has its own conv5, fc6 and fc7.
# Names with two leading underscores are local to this file.
__imagenet = dict(type='ImageNetWeights', arch='vgg16', preset='caffe', checkpoint='data/weights/vgg16_caffe_imagenet.pth')
__conv5 = dict(__imagenet, part='tail')
__new_layers = dict(type='Normal', std=0.01, override=[dict(name='fc_cls')])
__new_deltas = dict(type='Normal', std=0.001, override=dict(name='fc_reg'))
__box_coder = dict(type='DeltaXYWHBBoxCoder', target_means=(0.0, 0.0, 0.0, 0.0), target_stds=(0.1, 0.1, 0.2, 0.2))

__rpn_head = dict(
    type='WeightedRPNHead',
    in_channels=512,
    feat_channels=512,
    anchor_generator=dict(type='AnchorGenerator', scales=[16, 32, 64], ratios=[0.5, 1.0, 2.0], strides=[8]),  # Sec. 4.2: k = 9
    bbox_coder=dict(__box_coder, target_stds=(1.0, 1.0, 1.0, 1.0)),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0),
)
__roi_pool = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIPool', output_size=7),  # Sec. 4.2
    out_channels=512,
    featmap_strides=[8],
)
__bbox_head = dict(
    type='WeightedBBoxHead',
    num_shared_fcs=2,
    in_channels=512,
    fc_out_channels=4096,
    roi_feat_size=7,
    bbox_coder=__box_coder,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
    init_cfg=[__new_layers, __new_deltas, dict(__imagenet, part='fcs')],
)
__train_cfg = dict(
    rpn=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True, ignore_iof_thr=-1),
        sampler=dict(type='WeightedRandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
        allowed_border=-1,
        pos_weight=-1,
    ),
    rpn_proposal=dict(nms_pre=12000, max_per_img=2000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    rcnn=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False, ignore_iof_thr=-1),
        sampler=dict(type='WeightedRandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
        mask_size=28,
        pos_weight=-1,
    ),
)
__test_cfg = dict(
    rpn=dict(nms_pre=6000, max_per_img=300, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    rcnn=dict(score_thr=1e-5, nms=dict(type='nms', iou_threshold=0.3), max_per_img=100, mask_thr_binary=-1),
)
__mask_rcnn = dict(
    type='mmdet.MaskRCNN',
    backbone=dict(
        type='VGG16Tail',
        with_pool4=True,
        aspp=dict(channels=256, out_channels=256, dilations=(1, 2, 4, 6)),  # Sec. 4.1
        init_cfg=__conv5,
    ),
    rpn_head=__rpn_head,
    roi_head=dict(
        type='mmdet.StandardRoIHead',
        bbox_roi_extractor=__roi_pool,
        bbox_head=__bbox_head,
        mask_roi_extractor=dict(
            type='LastMapRoIExtractor',
            roi_layer=dict(type='RoIPool', output_size=14),  # Sec. 4.2
            out_channels=256,
            featmap_strides=[8, 8],
        ),
        mask_head=dict(type='WeightedMaskHead', num_convs=4, in_channels=256, conv_out_channels=256),
    ),
    train_cfg=__train_cfg,
    test_cfg=__test_cfg,
)

model = dict(
    type='LabelPENet',
    num_classes=20,
    data_preprocessor=dict(
        type='InvertibleDataPreprocessor', mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False, pad_size_divisor=8
    ),
    backbone=dict(type='VGG16C4', init_cfg=dict(__imagenet, part='backbone')),
    stages=dict(
        classification=dict(
            learns_from='tags',
            detector=dict(
                type='mmdet.FastRCNN',
                backbone=dict(type='VGG16Tail', init_cfg=__conv5),
                roi_head=dict(
                    type='MILRoIHead',
                    beta=0.5,  # Sec. 3.3
                    bbox_roi_extractor=__roi_pool,
                    bbox_head=dict(
                        type='MILBBoxHead',
                        in_channels=512,
                        fc_channels=(4096, 4096),
                        mil_loss=dict(type='MILSoftmaxLoss'),
                        init_cfg=[
                            dict(type='Normal', std=0.01, override=[dict(name='fc_cls'), dict(name='fc_weight')]),
                            dict(__imagenet, part='fcs'),
                        ],
                    ),
                ),
                train_cfg=dict(rcnn=None),
                test_cfg=dict(rcnn=dict(score_thr=1e-5, nms=dict(type='nms', iou_threshold=0.3), max_per_img=100)),
            ),
            labels=dict(type='ProposalCalibration', max_per_tag=1, nms_thr=0.3, max_candidates=300, crf='deeplab'),
        ),
        detection=dict(
            detector=dict(
                type='mmdet.FasterRCNN',
                backbone=dict(type='VGG16Tail', init_cfg=__conv5),
                rpn_head=__rpn_head,
                roi_head=dict(type='mmdet.StandardRoIHead', bbox_roi_extractor=__roi_pool, bbox_head=__bbox_head),
                train_cfg=__train_cfg,
                test_cfg=__test_cfg,
            ),
            labels=dict(type='ProposalCalibration', nms_thr=0.3, min_score=0.3, crf='deeplab'),
        ),
        refinement=dict(
            detector=__mask_rcnn, labels=dict(type='MaskAggregation', nms_thr=0.3, min_score=0.3, weights='one', crf='deeplab')
        ),
        segmentation=dict(detector=__mask_rcnn),
    ),
    validation=dict(type='DetectionLabels', min_score=0.3),
    test_cfg=dict(crf='deeplab', max_masks=100),
)

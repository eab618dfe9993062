# Label-PEnet with small heads, for any backbone: labelpenet_lite0.py and labelpenet_r50.py define backbone, tails, channels and strides.
# Names with two leading underscores are local to this file.
__box_coder = dict(type='DeltaXYWHBBoxCoder', target_means=(0.0, 0.0, 0.0, 0.0), target_stds=(0.1, 0.1, 0.2, 0.2))
__rpn_head = dict(
    type='WeightedRPNHead',
    feat_channels=128,
    anchor_generator=dict(type='AnchorGenerator', ratios=[0.5, 1.0, 2.0]),
    bbox_coder=dict(__box_coder, target_stds=(1.0, 1.0, 1.0, 1.0)),
    loss_bbox=dict(type='L1Loss', loss_weight=1.0),
)
__box_branch = dict(
    bbox_roi_extractor=dict(
        type='LastMapRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2, aligned=False),
        out_channels=128,
    ),
    bbox_head=dict(
        type='WeightedBBoxHead',
        num_shared_fcs=2,
        in_channels=128,
        fc_out_channels=256,
        roi_feat_size=7,
        bbox_coder=__box_coder,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
)
__mask_branch = dict(
    mask_roi_extractor=dict(
        type='LastMapRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=2, aligned=False),
        out_channels=128,
    ),
    mask_head=dict(type='WeightedMaskHead', num_convs=2, in_channels=128, conv_out_channels=64),
)
__train_cfg = dict(
    rpn=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True, ignore_iof_thr=-1),
        sampler=dict(type='WeightedRandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
        allowed_border=-1,
        pos_weight=-1,
    ),
    rpn_proposal=dict(nms_pre=1000, max_per_img=300, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    rcnn=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False, ignore_iof_thr=-1),
        sampler=dict(type='WeightedRandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
        mask_size=28,
        pos_weight=-1,
    ),
)
__test_cfg = dict(
    rpn=dict(nms_pre=1000, max_per_img=150, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    rcnn=dict(score_thr=1e-3, nms=dict(type='nms', iou_threshold=0.3), max_per_img=50, mask_thr_binary=-1),
)
__mask_rcnn = dict(
    type='mmdet.MaskRCNN',
    rpn_head=__rpn_head,
    roi_head=dict(type='mmdet.StandardRoIHead', **__box_branch, **__mask_branch),
    train_cfg=__train_cfg,
    test_cfg=__test_cfg,
)

model = dict(
    type='LabelPENet',
    num_classes=20,
    data_preprocessor=dict(type='InvertibleDataPreprocessor', pad_size_divisor=16),
    stages=dict(
        classification=dict(
            learns_from='tags',
            detector=dict(
                type='mmdet.FastRCNN',
                backbone=dict(type='IdentityTail'),
                roi_head=dict(
                    type='MILRoIHead',
                    bbox_roi_extractor=dict(
                        type='SingleRoIExtractor',
                        roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=2, aligned=False),
                    ),
                    bbox_head=dict(
                        type='MILBBoxHead',
                        fc_channels=(),
                        roi_feat_size=3,
                        roi_norm=dict(type='CentredNorm'),
                        mil_loss=dict(type='MILSoftmaxLoss'),
                    ),
                ),
                train_cfg=dict(rcnn=None),
                test_cfg=dict(rcnn=dict(score_thr=1e-5, nms=dict(type='nms', iou_threshold=0.3), max_per_img=50)),
            ),
            labels=dict(type='ProposalCalibration', max_per_tag=1, peak=0.95, crf='small'),
        ),
        detection=dict(
            detector=dict(
                type='mmdet.FasterRCNN',
                rpn_head=__rpn_head,
                roi_head=dict(type='mmdet.StandardRoIHead', **__box_branch),
                train_cfg=__train_cfg,
                test_cfg=__test_cfg,
            ),
            labels=dict(type='ProposalCalibration', min_score=0.5, max_overlap=0.5, peak=0.95, crf='small'),
        ),
        refinement=dict(
            detector=__mask_rcnn, labels=dict(type='MaskAggregation', min_score=0.5, max_overlap=0.5, weights='one', crf='small')
        ),
        segmentation=dict(detector=__mask_rcnn),
    ),
    validation=dict(type='DetectionLabels'),
    test_cfg=dict(crf='small', max_masks=10, min_score=0.05),
)

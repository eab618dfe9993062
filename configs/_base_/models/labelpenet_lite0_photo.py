# Label-PEnet on EfficientNet-Lite0 for a few hundred natural images: every stage uses the frozen last blocks, trained on ImageNet.
_base_ = './labelpenet_lite0.py'

__imagenet = dict(type='ImageNetWeights', arch='efficientnet_lite0', preset='tensorflow', part='tail')
__frozen = dict(_delete_=True, type='EfficientNetLite0Tail', frozen=True, init_cfg=__imagenet)
# ASPP initialised with N(0, 0.01), the default, hardly learns in a short schedule.
__aspp = dict(channels=64, out_channels=128, init_cfg=dict(type='Kaiming', layer='Conv2d'))
__tail = dict(__frozen, with_head=False, with_input=True, aspp=__aspp)
__rpn_head = dict(anchor_generator=dict(scales=[3, 6, 12, 20], strides=[16]))
__extractor = dict(featmap_strides=[16, 16])
# With tens of images per class, the extent of objects is learnt jointly for all classes.
__bbox_head = dict(reg_class_agnostic=True)
__cut = dict(type='SuperpixelCut', prior=0.25)
# Boxes of the detection stage's labels and at test time come from a second cut, which does not depend on a coarse map or mask.
__both = dict(__cut, from_box=True)
# A box around several objects does not remove those inside, but only reduces their scores.
__test_cfg = dict(rcnn=dict(nms=dict(type='soft_nms', method='gaussian', sigma=0.3, min_score=1e-3)))
__mask_rcnn = dict(
    backbone=__tail,
    rpn_head=__rpn_head,
    roi_head=dict(bbox_roi_extractor=__extractor, bbox_head=__bbox_head, mask_roi_extractor=__extractor),
    test_cfg=__test_cfg,
)
model = dict(
    feature_cache=dict(dir='{{$MMLABELPENET_CACHE:work_dirs/feature_cache}}', max_gib=20),  # of backbone and tails, which are frozen
    consensus=True,  # scores and boxes are averaged over the heads of a stage and of all earlier ones that learn from labels
    map_evidence=True,  # and weighted by the class activation maps of the first stage
    frozen_backbone=True,  # as in Fig. 1; docs/records/benchmark.md compares both
    backbone=dict(out_stride=16),
    # The first-stage labels are class activation maps of a whole-image classifier, which cover more of the object than the best proposals.
    # Objects found by a stage are cut out by colour, without a CRF before.
    stages=dict(
        classification=dict(
            detector=dict(
                backbone=__frozen,
                roi_head=dict(
                    bbox_roi_extractor=dict(
                        type='MeanRoIExtractor', roi_layer=dict(output_size=5, sampling_ratio=1), out_channels=1280, featmap_strides=[16]
                    ),
                    bbox_head=dict(
                        _delete_=True,
                        type='PooledMILBBoxHead',
                        in_channels=1280,
                        roi_norm=dict(type='CentredNorm'),
                        mil_loss=dict(type='MILSoftmaxLoss'),
                    ),
                    tag_head=dict(type='TagHead', in_channels=1280),
                ),
            ),
            labels=dict(
                _delete_=True,
                type='ClassActivation',
                max_per_tag=1,
                min_iou=0.0,
                threshold=0.3,
                zooms=[1.5, 2.0],
                spread=dict(),
                core=0.9,
                cut=dict(type='SuperpixelCut', min_fill=0.6),
            ),
        ),
        detection=dict(
            detector=dict(
                backbone=__tail,
                rpn_head=__rpn_head,
                roi_head=dict(bbox_roi_extractor=__extractor, bbox_head=__bbox_head),
                test_cfg=__test_cfg,
            ),
            labels=dict(box='proposal', peak=0.95, crf=None, cut=__both),
        ),
        refinement=dict(detector=__mask_rcnn, labels=dict(box='proposal', peak=0.95, crf=None, cut=__cut, weights='class')),
        segmentation=dict(detector=__mask_rcnn),
    ),
    # With few images, a detector learns classes less well than the first stage; at test time too, boxes and masks come from cuts.
    test_cfg=dict(image_evidence=True, crf=None, cut=__both, min_score=0.02),
)

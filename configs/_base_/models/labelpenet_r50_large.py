# ResNet-50 for the paper's image sizes: anchors, RoIs, heads and CRF of labelpenet_vgg16.py.
_base_ = './labelpenet_r50.py'

__train_cfg = dict(rpn_proposal=dict(nms_pre=12000, max_per_img=2000), rcnn=dict(sampler=dict(num=512)))
__test_cfg = dict(rpn=dict(nms_pre=6000, max_per_img=300), rcnn=dict(score_thr=1e-5, max_per_img=100))
__detector = dict(
    rpn_head=dict(anchor_generator=dict(scales=[8, 16, 32])),  # 128, 256 and 512 pixels at stride 16
    roi_head=dict(bbox_head=dict(fc_out_channels=1024)),
    train_cfg=__train_cfg,
    test_cfg=__test_cfg,
)
__mask_rcnn = dict(__detector, roi_head=dict(bbox_head=dict(fc_out_channels=1024), mask_head=dict(num_convs=4, conv_out_channels=256)))

model = dict(
    stages=dict(
        classification=dict(detector=dict(test_cfg=dict(rcnn=dict(max_per_img=100))), labels=dict(crf='deeplab')),
        detection=dict(detector=__detector, labels=dict(crf='deeplab')),
        refinement=dict(detector=__mask_rcnn, labels=dict(crf='deeplab')),
        segmentation=dict(detector=__mask_rcnn),
    ),
    test_cfg=dict(crf='deeplab', max_masks=100, min_score=0.0),
)

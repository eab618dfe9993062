# Mask R-CNN on pseudo labels: ResNet-50 with a dilated last stage and FPN, 2,048 RoIs per image, multi-scale training.
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', '../_base_/datasets/retrain_rois.py']
__strides = [4, 8, 16, 16]
model = dict(
    backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    rpn_head=dict(anchor_generator=dict(strides=[*__strides, 32], scales=[8], base_sizes=[4, 8, 16, 32, 64])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=__strides),
        bbox_head=dict(num_classes=20),
        mask_roi_extractor=dict(featmap_strides=__strides),
        mask_head=dict(num_classes=20),
    ),
    train_cfg=dict(rpn_proposal=dict(max_per_img=2000), rcnn=dict(sampler=dict(num=2048))),
)
train_dataloader = dict(dataset=dict(**_base_.pseudo_labels, pipeline=_base_.multi_scale))
test_dataloader = dict(dataset=dict(**_base_.annotated, pipeline=[step for step in _base_.test_pipeline if step.type != 'LoadAnnotations']))
test_evaluator = _base_.measures
val_dataloader = val_evaluator = val_cfg = None
# 24 epochs instead of 12, because VOC is small
train_cfg = dict(max_epochs=24)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=24, by_epoch=True, milestones=[16, 22], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(backend_args=dict(backend='atomic')))  # writes checkpoints atomically

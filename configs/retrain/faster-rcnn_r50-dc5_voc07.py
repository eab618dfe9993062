# Faster R-CNN on pseudo labels: ResNet-50 with a dilated last stage, 2,048 RoIs per image, multi-scale training.
_base_ = ['mmdet::faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py', '../_base_/datasets/retrain_rois.py']
model = dict(roi_head=dict(bbox_head=dict(num_classes=20)), train_cfg=dict(rcnn=dict(sampler=dict(num=2048))))
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

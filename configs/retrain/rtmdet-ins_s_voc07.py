# RTMDet-Ins on pseudo labels: mmdet's augmentation, 100 epochs instead of 300, masks as RLE.
_base_ = ['mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py', '../_base_/datasets/retrain.py']
model = dict(bbox_head=dict(num_classes=20))
__masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)  # as bitmaps; mmdet's config reads polygons
__train = [__masks if step.type == 'LoadAnnotations' else step for step in _base_.train_pipeline]
__last = [__masks if step.type == 'LoadAnnotations' else step for step in _base_.train_pipeline_stage2]
train_dataloader = dict(batch_size=16, num_workers=4, dataset=dict(**_base_.pseudo_labels, pipeline=__train))
test_dataloader = dict(dataset=dict(**_base_.annotated, pipeline=[step for step in _base_.test_pipeline if step.type != 'LoadAnnotations']))
test_evaluator = _base_.measures
val_dataloader = val_evaluator = val_cfg = None
train_cfg = dict(max_epochs=100, dynamic_intervals=None)
__cosine = dict(eta_min=0.0002, begin=50, end=100, T_max=50, by_epoch=True, convert_to_iter_based=True)
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0e-5, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', **__cosine),
]
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True, priority=49),
    dict(type='PipelineSwitchHook', switch_epoch=90, switch_pipeline=__last),
]
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(checkpoint=dict(backend_args=dict(backend='atomic')))  # writes checkpoints atomically

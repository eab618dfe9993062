# Mask2Former on pseudo labels: mmdet's augmentation, 50,000 iterations of 16 images instead of 368,750.
_base_ = ['mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', '../_base_/datasets/retrain.py']
model = dict(
    panoptic_head=dict(num_things_classes=20, loss_cls=dict(class_weight=[1.0] * 20 + [0.1])),
    panoptic_fusion_head=dict(num_things_classes=20),
)
train_dataloader = dict(dataset=dict(**_base_.pseudo_labels))
test_dataloader = dict(dataset=dict(**_base_.annotated, pipeline=[step for step in _base_.test_pipeline if step.type != 'LoadAnnotations']))
test_evaluator = _base_.measures
val_dataloader = val_evaluator = val_cfg = None
train_cfg = dict(max_iters=50000, dynamic_intervals=None)
param_scheduler = dict(end=50000, milestones=[44000, 48000])
default_hooks = dict(checkpoint=dict(backend_args=dict(backend='atomic')))  # writes checkpoints atomically

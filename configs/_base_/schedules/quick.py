# A short schedule: the four phases and the recurrent one in minutes. As in the paper the rate drops by 10 towards the end of a phase.
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=[
        dict(name='classification', iters=100),
        dict(name='detection', iters=240),
        dict(name='refinement', iters=240),
        dict(name='segmentation', iters=240),
        dict(name='recurrent', iters=8),
    ],
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[100], gamma=0.5),  # linear heads first, then deeper ones
    dict(type='MultiStepLR', by_epoch=False, milestones=[320, 560, 800], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[340, 580], gamma=10.0),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)  # the rate above is for four images a batch

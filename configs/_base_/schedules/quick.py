# A short schedule: the four phases and the recurrent one in minutes. As in the paper the rate drops by 10 towards the end of a phase.
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=[
        dict(name='classification', iters=150),
        dict(name='detection', iters=180),
        dict(name='refinement', iters=180),
        dict(name='segmentation', iters=220),
        dict(name='recurrent', iters=8),
    ],
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[300, 480, 690, 730], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[330, 510], gamma=10.0),
]

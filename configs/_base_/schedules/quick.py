# A short schedule: the four phases and the recurrent one in minutes.
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=[
        dict(name='classification', iters=150),
        dict(name='detection', iters=220),
        dict(name='refinement', iters=220),
        dict(name='segmentation', iters=220),
        dict(name='recurrent', iters=20),
    ],
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[810], gamma=0.1)]

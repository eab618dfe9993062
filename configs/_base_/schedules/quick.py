# A short schedule: the four phases and the recurrent one in minutes.
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=[
        dict(name='classification', iters=200),
        dict(name='detection', iters=300),
        dict(name='refinement', iters=300),
        dict(name='segmentation', iters=300),
        dict(name='recurrent', iters=50),
    ],
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=10),
)
param_scheduler = []

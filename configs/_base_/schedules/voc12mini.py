# Under an hour on two CPU cores.
_base_ = './animals.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=500),
        dict(name='detection', iters=500),
        dict(name='refinement', iters=350, warm_start=True),
        dict(name='segmentation', iters=350, warm_start=True),
        dict(name='recurrent', iters=10),
    ]
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[500], gamma=0.5),
    dict(type='MultiStepLR', by_epoch=False, milestones=[920, 1290, 1640], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1000, 1350], gamma=10.0),
]

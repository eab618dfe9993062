# As many iterations as an hour on two CPU cores allows.
_base_ = './quick.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=1000),
        dict(name='detection', iters=450),
        dict(name='refinement', iters=400),
        dict(name='segmentation', iters=400),
        dict(name='recurrent', iters=10),
    ]
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[1000], gamma=0.5),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1400, 1800, 2200], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1450, 1850], gamma=10.0),
]

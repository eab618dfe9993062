# docs/mil.md: three times as many iterations of the stages after classification.
_base_ = '../labelpenet_lite0_voc12mini.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=500),
        dict(name='detection', iters=1500),
        dict(name='refinement', iters=1050, warm_start=True),
        dict(name='segmentation', iters=1050, warm_start=True),
        dict(name='recurrent', iters=10),
    ]
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[500], gamma=0.5),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1760, 2870, 3920], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[2000, 3050], gamma=10.0),
]

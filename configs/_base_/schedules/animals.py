# About an hour on two CPU cores.
_base_ = './quick.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=400),
        dict(name='detection', iters=800),
        dict(name='refinement', iters=350, warm_start=True),
        dict(name='segmentation', iters=350, warm_start=True),
        dict(name='recurrent', iters=10),
    ]
)
# Class scores learn ten times as fast as the weights of proposals, which else settle on the part that tells a class best.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'classification.roi_head.bbox_head.fc_cls': dict(lr_mult=10)}))
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[400], gamma=0.5),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1000, 1480, 1830], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1200, 1550], gamma=10.0),
]

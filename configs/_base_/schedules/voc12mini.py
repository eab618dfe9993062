# As many iterations as an hour on two shared CPU cores allows.
_base_ = './quick.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=300),
        dict(name='detection', iters=350),
        dict(name='refinement', iters=350),
        dict(name='segmentation', iters=350),
        dict(name='recurrent', iters=5),
    ]
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[1350], gamma=0.1)]
auto_scale_lr = dict(enable=False, base_batch_size=4)

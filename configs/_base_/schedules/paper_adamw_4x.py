# The phases of paper_4x.py for models with small heads, as paper_adamw.py. Not measured.
_base_ = './paper_4x.py'
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[200000], gamma=0.5),
    dict(type='MultiStepLR', by_epoch=False, milestones=[160000, 360000, 560000, 760000], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[200000, 400000, 600000], gamma=10.0),
]

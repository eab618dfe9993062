# The phases of the paper for models with small heads: AdamW, with which they learn where SGD fails (docs/benchmark.md). Not measured.
_base_ = './paper.py'
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[50000], gamma=0.5),  # linear heads first, then deeper ones
    dict(type='MultiStepLR', by_epoch=False, milestones=[40000, 90000, 140000, 190000], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[50000, 100000, 150000], gamma=10.0),
]

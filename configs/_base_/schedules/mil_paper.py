# One phase for multiple-instance learning alone: 70 K iterations, the rate drops by 10 after 40 K (OICR).
_base_ = './paper.py'
train_cfg = dict(phases=[dict(name='classification', iters=70000)])
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[40000], gamma=0.1)]

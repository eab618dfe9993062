# One phase for multiple-instance learning alone, twice as long as the first phase of Label-PEnet and at its rates.
_base_ = './animals.py'
train_cfg = dict(phases=[dict(name='classification', iters=800)])
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[700], gamma=0.1)]

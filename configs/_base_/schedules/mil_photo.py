# One phase for multiple-instance learning alone on photographs, at the rates of Label-PEnet's first phase and longer than it.
_base_ = './animals.py'
train_cfg = dict(phases=[dict(name='classification', iters=800)])
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[700], gamma=0.1)]

# One phase for multiple-instance learning alone, of about as many iterations as the whole of the short schedule.
_base_ = './quick.py'
train_cfg = dict(phases=[dict(name='classification', iters=800)])
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[700], gamma=0.1)]

# L8: half as many iterations in every phase.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=[dict(phase, iters=phase.iters // 2) for phase in _base_.train_cfg.phases])
param_scheduler = [dict(part, milestones=[step // 2 for step in part.milestones]) for part in _base_.param_scheduler]

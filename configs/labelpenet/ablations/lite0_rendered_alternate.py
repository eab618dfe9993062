# L9: a forward and a backward iteration in turn in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
__cascade, __recurrent = _base_.train_cfg.phases[:4], _base_.train_cfg.phases[4]
train_cfg = dict(phases=[*__cascade, dict(__recurrent, alternate=True)])

# L9: the forward curriculum alone in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
__cascade, __recurrent = _base_.train_cfg.phases[:4], _base_.train_cfg.phases[4]
train_cfg = dict(phases=[*__cascade, dict(__recurrent, directions=('forward',))])

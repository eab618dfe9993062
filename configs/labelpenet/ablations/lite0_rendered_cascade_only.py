# L9: neither direction; no recurrent fine-tuning at all.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=_base_.train_cfg.phases[:4])

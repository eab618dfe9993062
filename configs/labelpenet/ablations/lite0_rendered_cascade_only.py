# L9: neither direction; no recurrent fine-tuning at all.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=dict(recurrent=None))

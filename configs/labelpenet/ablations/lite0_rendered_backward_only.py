# L9: only backward validation in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=dict(recurrent=dict(directions=('backward',))))

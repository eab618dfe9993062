# L9: only the forward curriculum in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=dict(recurrent=dict(directions=('forward',))))

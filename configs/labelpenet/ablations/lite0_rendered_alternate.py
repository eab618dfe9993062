# L9: forward and backward iterations alternate in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=dict(recurrent=dict(alternate=True)))

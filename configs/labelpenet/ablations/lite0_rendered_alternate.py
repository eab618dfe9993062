# L9: a forward and a backward iteration in turn in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=dict(recurrent=dict(alternate=True)))

# L9: recurrent fine-tuning in the paper's proportion, two fifths of the cascade's 1,020 iterations.
_base_ = '../labelpenet_lite0_rendered.py'
train_cfg = dict(phases=dict(recurrent=dict(iters=408, milestones=[11 / 12])))

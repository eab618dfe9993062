# As for the animals, with a few more iterations of the first stage.
_base_ = './animals.py'
train_cfg = dict(phases=dict(classification=dict(iters=500)))

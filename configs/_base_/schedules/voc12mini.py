# Like animals.py, with a few more iterations for the first stage.
_base_ = './animals.py'
train_cfg = dict(phases=dict(classification=dict(iters=500)))

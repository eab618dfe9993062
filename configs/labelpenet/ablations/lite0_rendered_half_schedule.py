# L8: half the number of iterations in every phase.
_base_ = '../labelpenet_lite0_rendered.py'
__phase = dict(iters=120)
train_cfg = dict(
    phases=dict(classification=dict(iters=150), detection=__phase, refinement=__phase, segmentation=__phase, recurrent=dict(iters=4))
)

# Under an hour on two CPU cores.
_base_ = './animals.py'
__phase = dict(milestones=[290])
train_cfg = dict(
    phases=dict(classification=dict(iters=500), detection=dict(iters=500, milestones=[420]), refinement=__phase, segmentation=__phase)
)

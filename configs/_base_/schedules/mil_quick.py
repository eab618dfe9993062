# One phase of multiple-instance learning, with about as many iterations as the entire short schedule.
_base_ = './quick.py'
train_cfg = dict(
    phases=dict(classification=dict(iters=800, milestones=[7 / 8]), detection=None, refinement=None, segmentation=None, recurrent=None)
)

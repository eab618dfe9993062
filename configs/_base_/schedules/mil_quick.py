# One phase for multiple-instance learning alone, of about as many iterations as the whole of the short schedule.
_base_ = './quick.py'
train_cfg = dict(
    phases=dict(classification=dict(iters=800, milestones=[7 / 8]), detection=None, refinement=None, segmentation=None, recurrent=None)
)

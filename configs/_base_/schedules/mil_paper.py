# One phase of multiple-instance learning: 70 K iterations, the learning rate is divided by 10 after 40 K (OICR).
_base_ = './paper.py'
train_cfg = dict(phases=dict(classification=dict(iters=70_000), detection=None, refinement=None, segmentation=None, recurrent=None))

# docs/choices.md: cuts of later stages use colours alone, without the soft mask or attention map from which they start.
_base_ = '../labelpenet_lite0_animals.py'
__labels = dict(labels=dict(cut=dict(prior=0.0)))
model = dict(stages=dict(detection=__labels, refinement=__labels), test_cfg=dict(cut=dict(prior=0.0)))

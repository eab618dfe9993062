# C14: no instance weights: every label has weight 1.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(weights='one')), detection=dict(labels=dict(weights='one'))))

# C14: the weight is the ranking score relative to the image's best.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(weights='score')), detection=dict(labels=dict(weights='score'))))

# C13: the boxes that the detection stage hands on are those of its calibrated masks.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(generators=dict(detection=dict(box='mask', peak=0.85)))

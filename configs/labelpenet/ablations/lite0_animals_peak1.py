# C11: attention divided by its maximum.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(stages=dict(classification=dict(labels=dict(peak=1.0))))

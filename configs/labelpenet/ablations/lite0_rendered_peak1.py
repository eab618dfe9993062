# C11: attention divided by its maximum, as in the VGG-16 model.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(peak=1.0)), detection=dict(labels=dict(peak=1.0))))

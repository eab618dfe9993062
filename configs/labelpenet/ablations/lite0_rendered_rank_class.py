# C6: the softmax class score ranks proposals.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(rank='class')))))

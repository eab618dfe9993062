# L7: the segmentation stage learns with instance weights too.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(refinement=dict(labels=dict(weights='class'))))

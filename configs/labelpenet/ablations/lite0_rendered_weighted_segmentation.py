# L7: the segmentation stage also learns with instance weights.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(refinement=dict(labels=dict(weights='class'))))

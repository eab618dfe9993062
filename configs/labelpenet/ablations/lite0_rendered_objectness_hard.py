# L1: the objectness target is 1, and w* weights both terms.
_base_ = '../labelpenet_lite0_rendered.py'
__stage = dict(rpn_head=dict(objectness='hard'))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

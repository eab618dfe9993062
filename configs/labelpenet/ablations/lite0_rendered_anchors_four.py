# N3: four anchor sizes: 16 pixels in addition to 32, 64 and 128.
_base_ = '../labelpenet_lite0_rendered.py'
__stage = dict(rpn_head=dict(anchor_generator=dict(scales=[2, 4, 8, 16])))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

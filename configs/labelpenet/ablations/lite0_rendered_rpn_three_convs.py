# N2: three 3x3 convolutions in the RPN, another reading of Sec. 4.1.
_base_ = '../labelpenet_lite0_rendered.py'
__stage = dict(rpn_head=dict(num_convs=3))
model = dict(stages=dict(detection=dict(detector=__stage), refinement=dict(detector=__stage), segmentation=dict(detector=__stage)))

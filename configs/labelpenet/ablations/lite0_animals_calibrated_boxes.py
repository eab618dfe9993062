# C13: objects of the detection and refinement stages start from the boxes of their calibrated masks, before refinement by colour.
_base_ = '../labelpenet_lite0_animals.py'
__labels = dict(box='mask', peak=0.85, crf='small')
model = dict(stages=dict(detection=dict(labels=__labels), refinement=dict(labels=__labels)))

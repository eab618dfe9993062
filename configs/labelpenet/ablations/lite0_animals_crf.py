# docs/choices.md: labels of the detection and refinement stages pass through a CRF before they are cut out by colour.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(stages=dict(detection=dict(labels=dict(crf='small')), refinement=dict(labels=dict(crf='small'))))

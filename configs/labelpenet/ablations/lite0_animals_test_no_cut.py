# L11: no refinement by colour at test time: detected boxes, masks of the CRF; uses the base's checkpoint.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(crf='small', cut=None))

# L11: objects are not cut out by their colours in testing: detected boxes, masks of the CRF. The base's checkpoint serves.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(crf='small', cut=None))

# L11: no CRF at test time; uses the base's checkpoint.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(test_cfg=dict(crf=None))

# L11: no CRF in testing. Training is that of the base, whose checkpoint serves.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(test_cfg=dict(crf=None))

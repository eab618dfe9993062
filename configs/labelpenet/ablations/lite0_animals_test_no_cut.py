# L11: masks are not cut out by their colours in testing. Training is that of the base, whose checkpoint serves.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(cut=None))

# docs/findings.md: in testing each stage scores its proposals alone; the training is that of the base.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(consensus=False))

# docs/findings.md: each stage scores its proposals alone, for labels and at test time.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(consensus=False)

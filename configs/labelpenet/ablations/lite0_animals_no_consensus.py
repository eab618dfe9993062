# docs/findings.md: each stage scores its proposals alone, in labels and in testing.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(consensus=False)

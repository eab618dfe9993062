# docs/findings.md: class activation maps do not weight the scores of later stages, for labels and at test time.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(map_evidence=False)

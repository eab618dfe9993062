# C13: no mask is cut out by its colours; boxes are those that calibration and detection give.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(
    stages=dict(classification=dict(labels=dict(cut=None)), detection=dict(labels=dict(cut=None)), refinement=dict(labels=dict(cut=None))),
    test_cfg=dict(cut=None),
)

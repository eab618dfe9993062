# C13: no mask is cut out by its colours; boxes are those that calibration and detection give.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(
    generators=dict(classification=dict(cut=None), detection=dict(cut=None), refinement=dict(cut=None)),
    test_cfg=dict(cut=None),
)

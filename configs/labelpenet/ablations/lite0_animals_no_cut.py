# C13: no refinement by colour; boxes are those from calibration and detection.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(core=None, cut=None)), detection=dict(labels=dict(cut=None)), refinement=dict(labels=dict(cut=None))
    ),
    test_cfg=dict(cut=None),
)

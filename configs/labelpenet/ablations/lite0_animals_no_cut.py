# C13: a CRF instead of refinement by colour, for labels and at test time. Boxes are those from calibration and detection.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(core=None, crf='small', cut=None)),
        detection=dict(labels=dict(crf='small', cut=None)),
        refinement=dict(labels=dict(crf='small', cut=None)),
    ),
    test_cfg=dict(crf='small', cut=None),
)

# C13: no refinement by colour. A CRF refines labels of the detection and refinement stages instead, but neither first-stage labels nor
# masks at test time. Boxes are those from calibration and detection.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(core=None, cut=None)),
        detection=dict(labels=dict(crf='small', cut=None)),
        refinement=dict(labels=dict(crf='small', cut=None)),
    ),
    test_cfg=dict(cut=None),
)

# C12: no CRF, neither in labels nor in testing.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(classification=dict(crf=None), detection=dict(crf=None), refinement=dict(crf=None)),
    test_cfg=dict(crf=None),
)

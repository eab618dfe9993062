# C12: no CRF, neither for labels nor at test time.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(classification=dict(labels=dict(crf=None)), detection=dict(labels=dict(crf=None)), refinement=dict(labels=dict(crf=None))),
    test_cfg=dict(crf=None),
)

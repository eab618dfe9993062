# C12: the larger CRF of the VGG-16 model.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(crf='deeplab')),
        detection=dict(labels=dict(crf='deeplab')),
        refinement=dict(labels=dict(crf='deeplab')),
    ),
    test_cfg=dict(crf='deeplab'),
)

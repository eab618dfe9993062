# C12: the larger CRF of the VGG-16 model.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(classification=dict(crf='deeplab'), detection=dict(crf='deeplab'), refinement=dict(crf='deeplab')),
    test_cfg=dict(crf='deeplab'),
)

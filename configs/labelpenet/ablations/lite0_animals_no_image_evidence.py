# docs/findings.md: in testing the class scores of the whole image do not weigh detections; the training is that of the base.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(image_evidence=False))

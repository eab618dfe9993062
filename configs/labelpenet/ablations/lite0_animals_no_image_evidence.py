# docs/findings.md: image-level class scores do not weight detections at test time; uses the base's checkpoint.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(image_evidence=False))

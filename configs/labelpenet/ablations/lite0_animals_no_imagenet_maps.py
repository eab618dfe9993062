# docs/findings.md: labels of the first stage from class activation maps alone, without the maps of ImageNet classes.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(tag_head=dict(imagenet=None))))))

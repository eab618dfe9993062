# docs/findings.md: labels of later stages are made of the image alone, without its mirror image.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(mirror_labels=False)

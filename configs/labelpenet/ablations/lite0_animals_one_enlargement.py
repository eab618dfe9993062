# docs/findings.md: class activation maps are averaged over the image and one enlargement, with a threshold that suits them.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(stages=dict(classification=dict(labels=dict(zooms=[1.5], threshold=0.3))))

# docs/findings.md: class activation maps are averaged over the image and one enlargement, with the threshold that suits them (the eighth default).
_base_ = '../labelpenet_lite0_animals.py'
model = dict(stages=dict(classification=dict(labels=dict(zooms=[1.5], threshold=0.3))))

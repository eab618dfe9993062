# N10: conv1 and conv2 are always frozen, as in Fast R-CNN.
_base_ = '../labelpenet_vgg16_voc07.py'
model = dict(backbone=dict(frozen_stages=2))

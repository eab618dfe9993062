# N4: stages with the same structure share conv5, fc6 and fc7.
_base_ = '../labelpenet_vgg16_voc07.py'
model = dict(share_tail=True)

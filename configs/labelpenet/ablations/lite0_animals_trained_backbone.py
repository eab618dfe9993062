# N10: recurrent fine-tuning trains the backbone too, as Sec. 4.2 says.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(frozen_backbone=False)

# N10: recurrent fine-tuning also trains the backbone, as in Sec. 4.2.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(frozen_backbone=False)

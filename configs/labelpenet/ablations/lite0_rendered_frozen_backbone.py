# N10: the backbone is fixed in recurrent fine-tuning too, as the caption of Fig. 1 says.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(frozen_backbone=True)

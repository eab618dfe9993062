# N10: the backbone is also frozen in recurrent fine-tuning, as in the caption of Fig. 1.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(frozen_backbone=True)

# docs/choices.md: scores as detected, not multiplied by the mean probability inside the refined mask.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(test_cfg=dict(mask_scores=False))

# docs/findings.md: refinement and segmentation begin from ImageNet, as the paper's stages do.
_base_ = '../labelpenet_lite0_animals.py'
train_cfg = dict(phases=dict(refinement=dict(warm_start=False), segmentation=dict(warm_start=False)))

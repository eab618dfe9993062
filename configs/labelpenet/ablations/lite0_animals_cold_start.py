# docs/findings.md: refinement and segmentation start from ImageNet weights, like the paper's stages.
_base_ = '../labelpenet_lite0_animals.py'
train_cfg = dict(phases=dict(refinement=dict(warm_start=False), segmentation=dict(warm_start=False)))

# Sec. 3.3: refinement and segmentation start from ImageNet weights (docs/records/mil.md, "Settings of the configs for natural images").
_base_ = '../labelpenet_lite0_animals.py'
train_cfg = dict(phases=dict(refinement=dict(warm_start=False), segmentation=dict(warm_start=False)))

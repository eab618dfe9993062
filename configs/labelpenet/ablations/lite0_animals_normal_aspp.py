# docs/findings.md: ASPP is initialised with N(0, 0.01), as in the paper's configs.
_base_ = '../labelpenet_lite0_animals.py'
__tail = dict(detector=dict(backbone=dict(aspp=dict(init_cfg=dict(_delete_=True, type='Normal', layer='Conv2d', std=0.01)))))
model = dict(stages=dict(detection=__tail, refinement=__tail, segmentation=__tail))

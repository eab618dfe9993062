# docs/findings.md: three times as many iterations of the stages after classification.
_base_ = '../labelpenet_lite0_voc12mini.py'
__phase = dict(iters=1050, milestones=[870])
train_cfg = dict(phases=dict(detection=dict(iters=1500, milestones=[1260]), refinement=__phase, segmentation=__phase))

# Table 1: all but the segmentation stage.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        _delete_=True,
        classification=_base_.model.stages.classification,
        detection=_base_.model.stages.detection,
        refinement=_base_.model.stages.refinement,
    )
)
train_cfg = dict(phases=[*_base_.train_cfg.phases[:3], _base_.train_cfg.phases[4]])
__start, __drops, __returns = _base_.param_scheduler
param_scheduler = [
    __start,
    dict(__drops, milestones=__drops.milestones[:2]),
    dict(__returns, milestones=__returns.milestones[:1]),
]

# Table 1: classification and detection.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        _delete_=True,
        classification=_base_.model.stages.classification,
        detection=_base_.model.stages.detection,
    )
)
train_cfg = dict(phases=[*_base_.train_cfg.phases[:2], _base_.train_cfg.phases[4]])
__start, __drops, __returns = _base_.param_scheduler
param_scheduler = [
    __start,
    dict(__drops, milestones=__drops.milestones[:1]),
    dict(__returns, milestones=__returns.milestones[:0]),
]

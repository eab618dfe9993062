# The detection stage as the last: classification and detection.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(
    stages=dict(
        _delete_=True,
        classification=_base_.model.stages.classification,
        detection=_base_.model.stages.detection,
    )
)
train_cfg = dict(phases=[*_base_.train_cfg.phases[:2], _base_.train_cfg.phases[4]])
__drops, __returns = _base_.param_scheduler
param_scheduler = [dict(__drops, milestones=__drops.milestones[:2]), dict(__returns, milestones=__returns.milestones[:1])]

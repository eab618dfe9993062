# The refinement stage as the last: all but the segmentation stage.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(
    stages=dict(
        _delete_=True,
        classification=_base_.model.stages.classification,
        detection=_base_.model.stages.detection,
        refinement=_base_.model.stages.refinement,
    )
)
train_cfg = dict(phases=[*_base_.train_cfg.phases[:3], _base_.train_cfg.phases[4]])
__drops, __returns = _base_.param_scheduler
param_scheduler = [dict(__drops, milestones=__drops.milestones[:3]), dict(__returns, milestones=__returns.milestones[:2])]

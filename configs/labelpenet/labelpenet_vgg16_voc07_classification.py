# The classification stage as the last: the classification stage alone.
_base_ = './labelpenet_vgg16_voc07.py'
model = dict(
    stages=dict(
        _delete_=True,
        classification=_base_.model.stages.classification,
    )
)
train_cfg = dict(phases=_base_.train_cfg.phases[:1])

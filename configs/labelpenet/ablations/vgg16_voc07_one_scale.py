# Sec. 4.2: one training scale, the middle one of five.
_base_ = '../labelpenet_vgg16_voc07.py'
__pipeline = _base_.train_dataloader.dataset.pipeline
__scales = dict(type='RandomChoiceResize', scales=[(1200, 688)], keep_ratio=True)
__augment = dict(type='ProposalBroadcaster', transforms=[__scales, dict(type='RandomFlip', prob=0.5)])
train_dataloader = dict(dataset=dict(pipeline=[*__pipeline[:-2], __augment, __pipeline[-1]]))

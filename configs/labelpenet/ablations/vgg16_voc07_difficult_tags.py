# C15: tags that only difficult objects carry are taken too.
_base_ = '../labelpenet_vgg16_voc07.py'
train_dataloader = label_dataloader = dict(dataset=dict(use_difficult_tags=True))

# C15: tags of classes with only difficult objects are used too.
_base_ = '../labelpenet_vgg16_voc07.py'
train_dataloader = label_dataloader = dict(dataset=dict(use_difficult_tags=True))

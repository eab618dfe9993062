# Sec. 4.2: at most 300 proposals per image.
_base_ = '../labelpenet_vgg16_voc07.py'
train_dataloader = label_dataloader = test_dataloader = corloc_dataloader = dict(dataset=dict(max_proposals=300))

# Table 6: MCG proposals, as in PRM, instead of selective search; tools/dataset_converters/import_proposals.py converts them.
_base_ = '../labelpenet_vgg16_voc12masks.py'
__trainaug = dict(dataset=dict(proposals='data/proposals/voc12_trainaug_mcg.npz'))
train_dataloader = label_dataloader = corloc_dataloader = __trainaug
test_dataloader = dict(dataset=dict(proposals='data/proposals/voc12_segval_mcg.npz'))

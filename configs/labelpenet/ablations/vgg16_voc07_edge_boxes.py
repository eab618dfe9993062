# Sec. 1: Edge Boxes instead of selective search. tools/dataset_converters/import_proposals.py converts them.
_base_ = '../labelpenet_vgg16_voc07.py'
__trainval = dict(dataset=dict(proposals='data/proposals/voc07_trainval_edge_boxes.npz'))
train_dataloader = label_dataloader = corloc_dataloader = __trainval
test_dataloader = dict(dataset=dict(proposals='data/proposals/voc07_test_edge_boxes.npz'))

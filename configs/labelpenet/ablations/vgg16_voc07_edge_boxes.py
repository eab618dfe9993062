# Sec. 1: Edge Boxes instead of selective search. The files are imported from those of the Edge Boxes program.
_base_ = '../labelpenet_vgg16_voc07.py'
__trainval = dict(dataset=dict(proposals='data/proposals/voc07_trainval_edge_boxes.npz'))
train_dataloader = label_dataloader = corloc_dataloader = __trainval
test_dataloader = dict(dataset=dict(proposals='data/proposals/voc07_test_edge_boxes.npz'))

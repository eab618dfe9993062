# PASCAL VOC 2012 for local evaluation of boxes: train for training, val for testing.
_base_ = './voc.py'

__voc12 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'
__train = dict(dataset=dict(data_root=__voc12, split='train', proposals='data/proposals/voc12_train.npz'))

train_dataloader = label_dataloader = corloc_dataloader = __train
test_dataloader = dict(dataset=dict(data_root=__voc12, split='val', proposals='data/proposals/voc12_val.npz'))
test_evaluator = dict(data_root=__voc12, split='val')
corloc_evaluator = dict(data_root=__voc12, split='train')

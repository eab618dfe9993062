# PASCAL VOC 2007: trainval for training, test for testing (Sec. 4.3).
_base_ = './voc.py'

__voc07 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2007'
__trainval = dict(dataset=dict(data_root=__voc07, split='trainval', proposals='data/proposals/voc07_trainval.npz'))

train_dataloader = label_dataloader = corloc_dataloader = __trainval
test_dataloader = dict(dataset=dict(data_root=__voc07, split='test', proposals='data/proposals/voc07_test.npz'))
test_evaluator = dict(data_root=__voc07, split='test')
corloc_evaluator = dict(data_root=__voc07, split='trainval')

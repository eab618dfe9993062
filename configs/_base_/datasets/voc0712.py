# trainval of PASCAL VOC 2007 and 2012 together, tested on test of 2007. tools/dataset_converters/join_voc.py creates the folder.
_base_ = './voc.py'

__joint = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC0712'
__trainval = dict(dataset=dict(data_root=__joint, split='trainval', proposals='data/proposals/voc0712_trainval.npz'))

train_dataloader = label_dataloader = corloc_dataloader = __trainval
test_dataloader = dict(dataset=dict(data_root=__joint, split='test', proposals='data/proposals/voc07_test.npz'))
test_evaluator = dict(data_root=__joint, split='test')
corloc_evaluator = dict(data_root=__joint, split='trainval')

# PASCAL VOC 2012: trainval for training, test for testing (Sec. 4.3). The annotations of test are only on the evaluation server, so nothing
# is evaluated here: tools/test.py --dump writes predictions for a submission. For local evaluation, train on train and test on val.
_base_ = './voc.py'

__voc12 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'
__trainval = dict(dataset=dict(data_root=__voc12, split='trainval', proposals='data/proposals/voc12_trainval.npz'))

train_dataloader = label_dataloader = corloc_dataloader = __trainval
test_dataloader = dict(dataset=dict(data_root=__voc12, split='test', tags=None, proposals='data/proposals/voc12_test.npz'))
test_evaluator = dict(data_root=__voc12, split='test', metric=())
corloc_evaluator = dict(data_root=__voc12, split='trainval')

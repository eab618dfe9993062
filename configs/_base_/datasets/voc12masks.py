# PASCAL VOC 2012 for masks (Sec. 4.4, 4.5): tags of the 10,582 images of train and of SBD, tested on the 1,449
# images of the segmentation list val. docs/reproduce.md explains the list trainaug. Only names are read from XML files.
_base_ = './voc.py'

__voc12 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'
__data = dict(data_root=__voc12, tags='xml')
__train = dict(dataset=dict(__data, split='trainaug', proposals='data/proposals/voc12_trainaug.npz'))

train_dataloader = label_dataloader = corloc_dataloader = __train
test_dataloader = dict(dataset=dict(__data, split='Segmentation/val', proposals='data/proposals/voc12_segval.npz'))
test_evaluator = dict(data_root=__voc12, split='Segmentation/val')
corloc_evaluator = dict(data_root=__voc12, split='trainaug')

# The same on pseudo labels of VOC 2012 train and the additional images, evaluated on the 1,449 images of val with masks.
_base_ = './mask2former_r50_voc07.py'
__voc12 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'
train_dataloader = dict(dataset=dict(data_root='data/retrain/voc12/'))
test_dataloader = dict(dataset=dict(ann_file=__voc12 + '/ImageSets/Segmentation/val.txt', data_prefix=dict(sub_data_root=__voc12 + '/')))
test_evaluator = dict(data_root=__voc12, split='Segmentation/val')

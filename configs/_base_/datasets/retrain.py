# Training and test data of models that are retrained on pseudo labels of VOC 2007. The variable names are unique, because a key may occur
# in only one base: configs that inherit one of mmdet's refer to them.
__classes = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
)
__voc07 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2007'

custom_imports = dict(imports=['mmlabelpenet'], allow_failed_imports=False)
pseudo_labels = dict(  # as tools/export_pseudo_labels.py --format coco writes them
    data_root='data/retrain/voc07/', ann_file='train.json', data_prefix=dict(img='images/'), metainfo=dict(classes=__classes)
)
annotated = dict(
    _delete_=True,
    type='mmdet.VOCDataset',
    ann_file=__voc07 + '/ImageSets/Main/test.txt',
    data_prefix=dict(sub_data_root=__voc07 + '/'),
    metainfo=dict(classes=__classes),
    test_mode=True,
)
measures = dict(_delete_=True, type='mmlabelpenet.StageMetric', data_root=__voc07, split='test', stages=['retrained'])
__export = 'python tools/export_pseudo_labels.py work_dirs/{}/pseudo_labels/refinement.json --format coco --need-mask --images {} --out {}'
__voc12 = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'
data_sources = {  # where to get a folder that is missing
    'data/retrain/voc07': __export.format('labelpenet_vgg16_voc07', __voc07 + '/JPEGImages', 'data/retrain/voc07'),
    'data/retrain/voc12': __export.format('labelpenet_vgg16_voc12masks', __voc12 + '/JPEGImages', 'data/retrain/voc12'),
    __voc07: 'http://host.robots.ox.ac.uk/pascal/VOC/voc2007/',
    __voc12: 'http://host.robots.ox.ac.uk/pascal/VOC/voc2012/',
}

# COCO 2017 with tags only: the categories of train2017, whose boxes and masks are discarded when reading; tested on val2017.
_base_ = './voc.py'

__coco = '{{$MMLABELPENET_COCO:data/coco}}'
__classes = (
    *('person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light', 'fire hydrant', 'stop sign'),
    *('parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack'),
    *('umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove'),
    *('skateboard', 'surfboard', 'tennis racket', 'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple'),
    *('sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant', 'bed'),
    *('dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink'),
    *('refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush'),
)
__data = dict(data_root=__coco, metainfo=dict(classes=__classes))
__train = dict(dataset=dict(__data, split='train2017', proposals='data/proposals/coco_train2017.npz'))

train_dataloader = label_dataloader = corloc_dataloader = __train
test_dataloader = dict(dataset=dict(__data, split='val2017', proposals='data/proposals/coco_val2017.npz'))
test_evaluator = dict(data_root=__coco, split='val2017')
corloc_evaluator = dict(data_root=__coco, split='train2017')
data_sources = {__coco: 'https://cocodataset.org/#download'}

# 800 training and 200 test images of VOC 2012 (20 classes), for CPU-sized models. tools/dataset_converters/voc12_short_lists.py creates the
# folder.
_base_ = './voc.py'

__mini = '{{$MMLABELPENET_MINI:data/VOCdevkit/VOC2012mini}}'
__train = dict(data_root=__mini, split='mini_train', proposals='data/proposals/voc12mini_mini_train.npz', min_proposal_area=0.01)
__test = dict(data_root=__mini, split='mini_test', proposals='data/proposals/voc12mini_mini_test.npz', min_proposal_area=0.01)
__load = [dict(type='LoadImageFromFile'), dict(type='LoadProposals')]
__pseudo_labels = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
__augment = [
    dict(type='RandomChoiceResize', scales=[(400, 300), (480, 360)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
]
__resize = [dict(type='Resize', scale=(400, 300), keep_ratio=True)]
__train_pipeline = [*__load, __pseudo_labels, dict(type='ProposalBroadcaster', transforms=__augment), dict(type='PackTagInputs')]
__test_pipeline = [*__load, dict(type='ProposalBroadcaster', transforms=__resize), dict(type='PackTagInputs')]

train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(__train, pipeline=__train_pipeline))
label_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(__train, pipeline=__test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(__test, pipeline=__test_pipeline))
test_evaluator = dict(data_root=__mini, split='mini_test')
corloc_dataloader = dict(num_workers=1, dataset=dict(__train, pipeline=__test_pipeline))
corloc_evaluator = dict(data_root=__mini, split='mini_train')

data_sources = {__mini: f'python tools/dataset_converters/voc12_short_lists.py data/VOCdevkit/VOC2012 {__mini}'}

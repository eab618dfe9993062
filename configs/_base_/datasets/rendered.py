# Rendered figures: four classes that only whole objects distinguish, created by tools/dataset_converters/render_voc.py.
_base_ = './voc.py'

__classes = ('lolly', 'cone', 'tree', 'kite')
__data = dict(data_root='data/rendered', metainfo=dict(classes=__classes))
__train = dict(__data, split='train', proposals='data/proposals/rendered_train.npz')
__test = dict(__data, split='test', proposals='data/proposals/rendered_test.npz')
__load = [dict(type='LoadImageFromFile'), dict(type='LoadProposals')]
__pseudo_labels = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
__augment = [
    dict(type='RandomChoiceResize', scales=[(320, 240), (400, 300)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
]
__resize = [dict(type='Resize', scale=(320, 240), keep_ratio=True)]
__train_pipeline = [*__load, __pseudo_labels, dict(type='ProposalBroadcaster', transforms=__augment), dict(type='PackTagInputs')]
__test_pipeline = [*__load, dict(type='ProposalBroadcaster', transforms=__resize), dict(type='PackTagInputs')]

train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(__train, pipeline=__train_pipeline))
label_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(__train, pipeline=__test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(__test, pipeline=__test_pipeline))
test_evaluator = dict(data_root='data/rendered', split='test', mask_classes=__classes)
corloc_dataloader = dict(num_workers=1, dataset=dict(__train, pipeline=__test_pipeline))
corloc_evaluator = dict(data_root='data/rendered', split='train', mask_classes=__classes)
data_sources = {'data/rendered': 'python tools/dataset_converters/render_voc.py data/rendered'}

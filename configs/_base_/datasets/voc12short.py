# The training images of both short lists of VOC 2012 that are in no test list: 1,979 images of 20 classes. Tested as voc12mini, on
# larger images.
_base_ = './voc12mini.py'

__load = [dict(type='LoadImageFromFile'), dict(type='LoadProposals')]
__pseudo_labels = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
__resize = dict(type='Resize', scale=(600, 450), keep_ratio=True)
__augment = [__resize, dict(type='RandomFlip', prob=0.5)]
__train_pipeline = [*__load, __pseudo_labels, dict(type='ProposalBroadcaster', transforms=__augment), dict(type='PackTagInputs')]
__test_pipeline = [*__load, dict(type='ProposalBroadcaster', transforms=[__resize]), dict(type='PackTagInputs')]
__train = dict(split='short_train', proposals='data/proposals/voc12mini_short_train.npz')

train_dataloader = dict(dataset=dict(__train, pipeline=__train_pipeline))
label_dataloader = dict(dataset=dict(__train, pipeline=__test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=__test_pipeline))
corloc_dataloader = dict(dataset=dict(__train, pipeline=__test_pipeline))
corloc_evaluator = dict(split='short_train')

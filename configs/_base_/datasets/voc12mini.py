# 800 training and 200 test images of VOC 2012 (20 classes), for development at CPU size.
data_root = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadProposals'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='ProposalBroadcaster',
        transforms=[
            dict(type='RandomChoiceResize', scales=[(400, 300), (480, 360)], keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackTagInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadProposals'),
    dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale=(400, 300), keep_ratio=True)]),
    dict(type='PackTagInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='mini_train',
        proposals='data/proposals/voc12mini_mini_train.npz',
        pipeline=train_pipeline,
    ),
)
label_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='mini_train',
        proposals='data/proposals/voc12mini_mini_train.npz',
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='mini_test',
        proposals='data/proposals/voc12mini_mini_test.npz',
        keep_untagged=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type='StageMetric', data_root=data_root, split='mini_test')
# CorLoc is measured on the training split, by its boxes, and only after training.
corloc_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='mini_train',
        proposals='data/proposals/voc12mini_mini_train.npz',
        keep_untagged=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
corloc_evaluator = dict(type='StageMetric', data_root=data_root, split='mini_train', protocol='corloc')
test_cfg = dict(type='TestLoop')

# Rendered figures: four classes that only the whole object tells apart. Made by tools/dataset_converters/render_voc.py.
data_root = 'data/rendered'
metainfo = dict(classes=('lolly', 'cone', 'tree', 'kite'))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadProposals'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='ProposalBroadcaster',
        transforms=[
            dict(type='RandomChoiceResize', scales=[(320, 240), (400, 300)], keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackTagInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadProposals'),
    dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale=(320, 240), keep_ratio=True)]),
    dict(type='PackTagInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='train',
        metainfo=metainfo,
        proposals='data/proposals/rendered_train.npz',
        pipeline=train_pipeline,
    ),
)
label_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='train',
        metainfo=metainfo,
        proposals='data/proposals/rendered_train.npz',
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
        split='test',
        metainfo=metainfo,
        proposals='data/proposals/rendered_test.npz',
        keep_untagged=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type='StageMetric', data_root=data_root, split='test', mask_classes=metainfo['classes'])
# CorLoc is measured on the training split, by its boxes, and only after training.
corloc_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='train',
        metainfo=metainfo,
        proposals='data/proposals/rendered_train.npz',
        keep_untagged=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
corloc_evaluator = dict(type='StageMetric', data_root=data_root, split='train', protocol='corloc', mask_classes=metainfo['classes'])
test_cfg = dict(type='TestLoop')

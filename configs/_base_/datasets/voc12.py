# PASCAL VOC 2012: trainval for training, test for testing (Sec. 4.3). The annotations of test lie on the evaluation server only;
# to measure at home, train on train and test on val.
data_root = '{{$MMLABELPENET_DATA:data/VOCdevkit}}/VOC2012'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadProposals'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='ProposalBroadcaster',
        transforms=[
            dict(
                type='RandomChoiceResize',
                scales=[(1200, 480), (1200, 576), (1200, 688), (1200, 864), (1200, 1024)],  # Sec. 4.2: shorter side, longer capped
                keep_ratio=True,
            ),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackTagInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadProposals'),
    dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale_factor=1.0)]),
    dict(type='PackTagInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='trainval',
        proposals='data/proposals/voc12_trainval.npz',
        pipeline=train_pipeline,
    ),
)
label_dataloader = dict(
    batch_size=2,
    num_workers=4,
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='trainval',
        proposals='data/proposals/voc12_trainval.npz',
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='test',
        proposals='data/proposals/voc12_test.npz',
        keep_untagged=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type='StageMetric', data_root=data_root, split='test')
# CorLoc is measured on the training split, by its boxes, and only after training.
corloc_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCTags',
        data_root=data_root,
        split='trainval',
        proposals='data/proposals/voc12_trainval.npz',
        keep_untagged=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
corloc_evaluator = dict(type='StageMetric', data_root=data_root, split='trainval', protocol='corloc')
test_cfg = dict(type='TestLoop')

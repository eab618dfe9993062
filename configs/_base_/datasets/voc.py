# Common settings of data sets in VOC layout, at the paper's image sizes. Each of them adds its folder, image lists and proposals.
# Names with two leading underscores are local to a file.
__load = [dict(type='LoadImageFromFile'), dict(type='LoadProposals')]
__pseudo_labels = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
__augment = [
    dict(
        type='RandomChoiceResize',
        scales=[(1200, 480), (1200, 576), (1200, 688), (1200, 864), (1200, 1024)],  # Sec. 4.2; (maximum of the longer side, shorter side)
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
]
__original_size = [dict(type='Resize', scale_factor=1.0)]
__train_pipeline = [*__load, __pseudo_labels, dict(type='ProposalBroadcaster', transforms=__augment), dict(type='PackTagInputs')]
__test_pipeline = [*__load, dict(type='ProposalBroadcaster', transforms=__original_size), dict(type='PackTagInputs')]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(type='VOCTags', pipeline=__train_pipeline),
)
label_dataloader = dict(batch_size=2, num_workers=4, dataset=dict(type='VOCTags', pipeline=__test_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOCTags', keep_untagged=True, test_mode=True, pipeline=__test_pipeline),
)
test_evaluator = dict(type='StageMetric')
# CorLoc is measured on the training split, with its boxes, and only after training.
corloc_dataloader = test_dataloader
corloc_evaluator = dict(type='StageMetric', protocol='corloc')
test_cfg = dict(type='TestLoop')

# Where to get a folder that is missing.
__devkit = '{{$MMLABELPENET_DATA:data/VOCdevkit}}'
__voc07, __voc12, __joint = (f'{__devkit}/{name}' for name in ('VOC2007', 'VOC2012', 'VOC0712'))
data_sources = {
    __voc07: 'http://host.robots.ox.ac.uk/pascal/VOC/voc2007/',
    __voc12: 'http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (docs/reproduce.md explains further image lists)',
    __joint: f'python tools/dataset_converters/join_voc.py {__voc07} {__voc12} {__joint}',
}

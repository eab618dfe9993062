# Training pipeline of models with RoIs: the paper's five scales.
_base_ = './retrain.py'

multi_scale = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1200, 480), (1200, 576), (1200, 688), (1200, 864), (1200, 1024)],  # (maximum of the longer side, shorter side)
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]

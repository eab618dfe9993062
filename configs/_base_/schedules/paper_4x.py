# The paper's schedule four times as long, for COCO's 118,287 training images (VOC 2012 has 11,540). Not measured.
_base_ = './paper.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=200000),
        dict(name='detection', iters=200000),
        dict(name='refinement', iters=200000),
        dict(name='segmentation', iters=200000),
        dict(name='recurrent', iters=320000),
    ]
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[160000, 360000, 560000, 760000], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[200000, 400000, 600000], gamma=10.0),
]

# docs/mil.md: refinement and segmentation begin from ImageNet, as the paper's stages do.
_base_ = '../labelpenet_lite0_animals.py'
train_cfg = dict(
    phases=[
        dict(name='classification', iters=400),
        dict(name='detection', iters=800),
        dict(name='refinement', iters=350),
        dict(name='segmentation', iters=350),
        dict(name='recurrent', iters=10),
    ]
)

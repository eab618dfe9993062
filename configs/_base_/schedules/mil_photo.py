# One phase of multiple-instance learning on natural images, longer than Label-PEnet's first phase. With eps far above the gradients, steps
# of AdamW are proportional to the gradient, as with SGD: otherwise the best proposals shrink to the smallest parts (docs/records/mil.md,
# "Optimizer of the first stage"). Branches of OICR and PCL need an even higher learning rate, since their labels have small weights.
_base_ = './animals.py'
train_cfg = dict(
    phases=dict(classification=dict(iters=800, milestones=[7 / 8]), detection=None, refinement=None, segmentation=None, recurrent=None)
)
__head = 'classification.detector.roi_head.bbox_head'
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            f'{__head}.fc_cls': dict(lr_mult=100, decay_mult=0.01, eps=1.0),
            f'{__head}.fc_weight': dict(lr_mult=10, decay_mult=0.01, eps=1.0),
            __head: dict(lr_mult=1000, decay_mult=0.001, eps=1.0),  # the branches
        },
    )
)

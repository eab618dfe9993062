# About half an hour on two CPU cores.
_base_ = './quick.py'
__phase = dict(iters=800, milestones=[0.825], warm_start=True)
train_cfg = dict(
    phases=dict(
        classification=dict(iters=400),
        detection=dict(iters=1500, milestones=[5 / 6]),
        refinement=__phase,
        segmentation=__phase,
        recurrent=dict(iters=10),
    )
)
# Class scores learn ten times as fast as proposal weights, which otherwise converge to the most discriminative part.
__fast = dict(lr_mult=10)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'classification.detector.roi_head.bbox_head.fc_cls': __fast,
            'classification.detector.roi_head.tag_head': __fast,
        }
    )
)

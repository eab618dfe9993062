# About an hour on two CPU cores.
_base_ = './quick.py'
__phase = dict(iters=350, milestones=[280], warm_start=True)
train_cfg = dict(
    phases=dict(
        classification=dict(iters=400),
        detection=dict(iters=800, milestones=[600]),
        refinement=__phase,
        segmentation=__phase,
        recurrent=dict(iters=10),
    )
)
# Class scores learn ten times as fast as the weights of proposals, which otherwise settle on the part that tells a class best.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'classification.detector.roi_head.bbox_head.fc_cls': dict(lr_mult=10)}))

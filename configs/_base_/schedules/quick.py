# A short schedule: the four phases and the recurrent one in minutes. As in the paper, the learning rate is divided by 10 towards the end of
# a phase.
__phase = dict(iters=240, lr=5e-4, milestones=[11 / 12])
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=dict(
        classification=dict(iters=300, lr=1e-3),  # a linear head learns faster than deeper ones
        detection=__phase,
        refinement=__phase,
        segmentation=__phase,
        recurrent=dict(iters=8, lr=5e-5),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01, fused=True),  # one pass over the weights
    clip_grad=dict(max_norm=10),
)
auto_scale_lr = dict(enable=False, base_batch_size=4)  # the learning rates above are for four images per batch

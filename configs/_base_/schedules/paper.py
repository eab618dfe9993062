# The paper's schedule (Sec. 4.2): four phases of 50 K iterations, then 80 K of recurrent mixed fine-tuning at a tenth of the learning rate.
__phase = dict(iters=50_000, lr=1e-3, milestones=[0.8])  # after 40 K iterations
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=dict(
        classification=__phase,
        detection=__phase,
        refinement=__phase,
        segmentation=__phase,
        recurrent=dict(iters=80_000, lr=1e-4),
    ),
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.0005))
auto_scale_lr = dict(enable=False, base_batch_size=2)  # Sec. 4.2: the learning rate above is for two images per batch

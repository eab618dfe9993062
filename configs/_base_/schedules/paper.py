# The paper's schedule (Sec. 4.2): four phases of 50 K iterations, then 80 K of recurrent mixed fine-tuning.
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=[
        dict(name='classification', iters=50000),
        dict(name='detection', iters=50000),
        dict(name='refinement', iters=50000),
        dict(name='segmentation', iters=50000),
        dict(name='recurrent', iters=80000),
    ],
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0005))
# 0.001 for 40 K iterations, 0.0001 for 10 K, in every phase of the cascade; the recurrent phase stays at 0.0001.
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[40000, 90000, 140000, 190000], gamma=0.1),
    dict(type='MultiStepLR', by_epoch=False, milestones=[50000, 100000, 150000], gamma=10.0),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)  # Sec. 4.2: the rate above is for two images a batch

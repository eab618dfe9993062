_base_ = ['./tta.py']
default_scope = 'mmlabelpenet'
custom_imports = dict(imports=['mmlabelpenet'], allow_failed_imports=False)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', interval=5000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    health=dict(type='HealthHook'),
    collapse=dict(type='CollapseHook'),
    part_times=dict(type='PartTimesHook'),
    label_samples=dict(type='LabelSamplesHook', interval=1000),
    progress=dict(type='LiveProgress'),
    reused_labels=dict(type='ReusedLabelsHook'),
    visualization=dict(type='DetVisualizationHook'),  # draws predictions at test time, with --show and --show-dir
    sample_panels=dict(type='SamplePanels', interval=1000),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
visualizer = dict(type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False

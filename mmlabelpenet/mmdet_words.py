"""Replacements for keys and options of MMDetection that are named or placed differently here. Imports no framework."""

import re
from collections.abc import Sequence

INSTEAD = (  # a pattern of the key's path, and the advice, in which {key} is its last word
    (r'model\.(bbox_head|mask_head|neck|roi_head|rpn_head|train_cfg)', 'Each stage has its own: model.stages.<name>.detector.{key}.'),
    (r'model\.test_cfg\.(rcnn|rpn)', 'Each stage has its own: model.stages.<name>.detector.test_cfg.{key}.'),
    (r'model\.pretrained', "Write model.backbone.init_cfg=dict(type='Pretrained', checkpoint=...)."),
    (r'train_cfg\.(max_epochs|max_iters)', 'The training length is the sum of the phases: set train_cfg.phases.<name>.iters.'),
    (r'train_cfg\.by_epoch', 'Remove it: training counts iterations.'),
    (r'\w+_dataloader\.samples_per_gpu', 'Write batch_size.'),
    (r'\w+_dataloader\.workers_per_gpu', 'Write num_workers.'),
    (r'\w+_evaluator\.(.+\.)?classwise', 'Values per class are in the table written by tools/test.py --out FILE.json.'),
    (r'\w+_evaluator\.(.+\.)?(format_only|outfile_prefix)', 'Predictions are written by tools/test.py --dump FILE.json.'),
    (r'\w+_evaluator\.(.+\.)?(ann_file|backend_args)', 'Set data_root and split instead.'),
    (r'\w+_dataloader\.dataset\.(.+\.)?backend_args', 'Remove it: images, tags and proposals are read from local disks.'),
    (r'compile', "Write custom_hooks=[dict(type='FastLayersHook', compile=True)]."),
    (r'find_unused_parameters', 'Write model_wrapper_cfg.{key}, which is already true.'),
    (r'strategy', "Training uses mmengine's Runner, which has no strategies."),
    # of MMDetection 2
    (r'data', 'Write train_dataloader, label_dataloader and test_dataloader.'),
    (r'lr_config', 'Write lr, milestones and warmup of train_cfg.phases.<name>.'),
    (r'optimizer', 'Write optim_wrapper.optimizer.'),
    (r'optimizer_config', 'Write optim_wrapper.clip_grad.'),
    (r'runner|total_epochs|total_iters|max_epochs', 'Write train_cfg.phases.<name>.iters.'),
    (r'evaluation', 'Write val_dataloader, val_evaluator, val_cfg and train_cfg.val_interval.'),
    (r'checkpoint_config', 'Write default_hooks.checkpoint.'),
    (r'log_config', 'Write default_hooks.logger.interval, and visualizer.vis_backends for TensorBoard.'),
    (r'workflow', 'Write train_cfg.val_interval.'),
    (r'resume_from', 'Give --resume CHECKPOINT.'),
    (r'seed|deterministic', 'Write randomness.{key}.'),
    (r'cudnn_benchmark', 'Write env_cfg.{key}.'),
    (r'dist_params', 'Write env_cfg.dist_cfg.'),
    (r'mp_start_method|opencv_num_threads', 'Write env_cfg.mp_cfg.{key}.'),
    (
        r'device|gpu_ids',
        'Select GPUs with the environment variable CUDA_VISIBLE_DEVICES; use several with tools/dist_train.sh CONFIG GPUS.',
    ),
)
FLAGS = {  # options of MMDetection's commands, including version 2
    '--auto-resume': '--resume',
    '--deterministic': '--cfg-options randomness.deterministic=true',
    '--device': 'the environment variable CUDA_VISIBLE_DEVICES, empty for the CPU',
    '--eval': '--cfg-options test_evaluator.metric=[bbox,segm]',
    '--eval-options': '--cfg-options test_evaluator.KEY=VALUE',
    '--format-only': '--dump FILE.json',
    '--gpu-collect': '--cfg-options test_evaluator.collect_device=gpu',
    '--gpu-id': 'the variable CUDA_VISIBLE_DEVICES',
    '--gpu-ids': 'the variable CUDA_VISIBLE_DEVICES',
    '--gpus': 'bash tools/dist_train.sh CONFIG GPUS',
    '--load-from': '--cfg-options load_from=CHECKPOINT',
    '--no-validate': '--cfg-options val_cfg=none val_dataloader=none val_evaluator=none',
    '--options': '--cfg-options KEY=VALUE',
    '--resume-from': '--resume CHECKPOINT',
    '--seed': '--cfg-options randomness.seed=SEED',
    '--show-score-thr': '--cfg-options default_hooks.visualization.score_thr=SCORE',
    '--tmpdir': '--cfg-options test_evaluator.collect_dir=DIR',
}


def instead(path: Sequence[str | int]) -> str:
    """What to write instead of an unknown key; empty if MMDetection does not have the key either.

    >>> instead(('model', 'roi_head'))
    ' Each stage has its own: model.stages.<name>.detector.roi_head.'
    """
    dotted = '.'.join(map(str, path))
    return next((f' {advice.format(key=path[-1])}' for pattern, advice in INSTEAD if re.fullmatch(pattern, dotted)), '')

"""Train from a config."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from msgspec.structs import replace
from torch import nn

from mmlabelpenet import ops
from mmlabelpenet.apis.built_parts import named_parts
from mmlabelpenet.apis.checkpoint import check_classes, check_resumable, checkpoint_stamps, find_checkpoint, read_checkpoint
from mmlabelpenet.apis.config import config_classes, inner_datasets, phase_lengths, recipe_hash, stage_names
from mmlabelpenet.apis.config_check import check_complete, check_config, check_metrics, check_parts
from mmlabelpenet.apis.input_check import check_input
from mmlabelpenet.apis.inputs import TRAINED_ON, check_inputs, check_proposals
from mmlabelpenet.apis.overlap import check_overlap
from mmlabelpenet.apis.run_note import RunNote, read_note, write_note
from mmlabelpenet.engine.network import network
from mmlabelpenet.engine.phases import RECURRENT
from mmlabelpenet.files import locked_by_first_rank
from mmlabelpenet.mmdet_steps import check_reversible
from mmlabelpenet.tensor_files import differs

LAUNCHERS = {  # a variable that each sets, and how to start it
    'pytorch': ('RANK', 'bash tools/dist_train.sh CONFIG GPUS, or tools/dist_test.sh'),
    'slurm': ('SLURM_PROCID', 'bash tools/slurm_train.sh PARTITION CONFIG GPUS, or srun'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun'),
}


def train(
    config: Config, resume: str | None = None, amp: str | None = None, auto_scale_lr: bool = False, tensorboard: bool = False
) -> Runner:
    """Train all phases of a config.

    Args:
        config: with ``work_dir``.
        resume: ``'auto'`` for the last complete checkpoint of the work dir, or the path of a checkpoint; None starts from the beginning.
        amp: mixed precision, ``'bf16'`` or ``'fp16'``; None uses float32.
        auto_scale_lr: scale the learning rate to the total batch size over ranks and accumulated batches.
        tensorboard: also write TensorBoard event files.

    Returns:
        the runner, after training.

    Raises:
        FileNotFoundError, ValueError: see :func:`check_training`; also for a checkpoint of another model, or if another training is running
            in the work dir.
    """
    with locked_by_first_rank(config.work_dir):
        return _train(config, resume, amp, auto_scale_lr, tensorboard)


def _train(config: Config, resume: str | None, amp: str | None, auto_scale_lr: bool, tensorboard: bool) -> Runner:
    start_from(config, resume)
    check_training(config)
    note_run(config)
    if amp:
        config.optim_wrapper.merge(dict(type='MixedPrecisionWrapper', dtype=amp))
    if auto_scale_lr:
        scale_learning_rate(config)
    if tensorboard:
        config.visualizer.vis_backends = [*config.visualizer.vis_backends, dict(type='TensorboardVisBackend')]
    allow_cpu_ranks(config)
    with named_parts(config):
        runner = Runner.from_cfg(config)
    if runner.rank == 0:
        note = read_note(config.work_dir)
        write_note(config.work_dir, replace(note, runs=[*note.runs, runner.timestamp]))
    ops.log_kernels()
    model = network(runner)
    check_modules(model, config)
    check_input(model)
    if config.get('load_from'):
        check_checkpoint(model, config.load_from, config.get('resume', False), config_classes(config.train_dataloader.dataset))
        if config.get('resume'):
            check_resumable(config.load_from)
    with named_parts(config):  # loop, data sets and optimizer
        runner.train()
    return runner


def start_from(config: Config, resume: str | None) -> None:
    """Set ``resume`` and ``load_from`` of the config.

    Args:
        config: with ``work_dir``; changed.
        resume: as for :func:`train`. ``'auto'`` without any checkpoint starts as defined by the config, including its ``load_from``.

    Raises:
        ValueError: all checkpoints of the work dir are damaged.
    """
    if resume not in (None, 'auto'):
        config.resume, config.load_from = True, resume
    elif resume == 'auto' or (config.get('resume') and not config.get('load_from')):
        last = find_checkpoint(config.work_dir)
        config.resume = last is not None
        config.load_from = str(last) if last else config.get('load_from')


def check_training(config: Config, promised: Collection[Path] = ()) -> None:
    """Run all checks of a training before anything is built; the data are not read.

    Args:
        config: with ``work_dir``, and ``load_from`` if training starts from a checkpoint.
        promised: resolved paths of files that will exist when training starts.

    Raises:
        FileNotFoundError: data, proposals, weights or labels are missing; lists all, with the commands that create them.
        ValueError: the config has an unknown key or an unregistered name, defines no training, or one for GPUs only, or an image is in both
            the training and the test split.
    """
    check_config(config)
    check_parts(config, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'training')
    if phases := phase_lengths(config):
        check_parts(config, ['label_dataloader'], 'training')
    for loader in ('train_dataloader', 'label_dataloader') if phases else ():
        check_proposals(config, loader, stage_names(config) if RECURRENT in phases else phases)
    for dataset in inner_datasets(config.label_dataloader.dataset) if phases else ():
        check_reversible(dataset.get('pipeline') or (), 'label_dataloader stores labels in pixels of the original image')
    reuses = RECURRENT in phases and (config.model.get('refresh_interval') or 1) > 1
    for dataset in inner_datasets(config.train_dataloader.dataset) if reuses else ():
        check_reversible(dataset.get('pipeline') or (), 'model.refresh_interval above 1 reuses labels in other views of the image')
    check_metrics(config, 'val')
    if str(config.optim_wrapper.get('type')).endswith('AmpOptimWrapper') and get_device() == 'cpu':
        raise ValueError("AmpOptimWrapper runs on GPUs only: train with --amp, or set optim_wrapper.type='MixedPrecisionWrapper'.")
    check_inputs(config, TRAINED_ON, promised)
    check_overlap(config)
    check_complete(config, 'test')


def note_run(config: Config) -> None:
    """Record the training in ``run.json`` of the work dir: config, seed, the hash shared by runs with other seeds, and the checkpoints of
    earlier trainings, from which this one does not resume.
    """
    if int(os.environ.get('RANK', 0)) == 0:
        known, seed = read_note(config.work_dir), (config.get('randomness') or {}).get('seed')
        earlier = known.earlier if config.get('resume') else checkpoint_stamps(config.work_dir)
        write_note(config.work_dir, RunNote(config.filename, recipe_hash(config), seed, earlier, known.runs))
        written = ['last_checkpoint', *([Path(config.filename).name] if config.filename else [])]
        for path in (Path(config.work_dir, name) for name in written):
            if path.is_symlink():  # mmengine would overwrite the target of the link, such as the config itself
                path.unlink()


def scale_learning_rate(config: Config) -> None:
    """Make mmengine scale the learning rate linearly with the images per update, over all ranks and accumulated batches.

    Raises:
        ValueError: the config does not define the batch size of its learning rate.

    >>> config = Config(dict(optim_wrapper=dict(accumulative_counts=4), auto_scale_lr=dict(base_batch_size=2)))
    >>> scale_learning_rate(config)
    >>> config.auto_scale_lr
    {'base_batch_size': 0.5, 'enable': True}
    """
    base = (config.get('auto_scale_lr') or {}).get('base_batch_size')
    if base is None:
        raise ValueError('The config has no auto_scale_lr.base_batch_size: set it to the images per update that its learning rate is for.')
    # mmengine divides ranks x batch size by this number, ignoring accumulation
    config.auto_scale_lr = dict(base_batch_size=base / config.optim_wrapper.get('accumulative_counts', 1), enable=True)


def check_modules(model: nn.Module, config: Config) -> None:
    """Reject names of modules that the model does not have, in the keys for which mmengine looks them up.

    >>> check_modules(nn.Sequential(nn.ReLU()), Config(dict(activation_checkpointing=['1'])))
    Traceback (most recent call last):
    ValueError: activation_checkpointing: the model has no module '1'. At the top level it has 0.
    """
    names = {name for name, _ in model.named_modules()}
    for key in ('activation_checkpointing', 'efficient_conv_bn_eval'):
        given = config.get(key) or []
        if absent := [name for name in ([given] if isinstance(given, str) else given) if name not in names]:
            top = ', '.join(name for name, _ in model.named_children())
            raise ValueError(f'{key}: the model has no module {absent[0]!r}. At the top level it has {top}.')


def allow_cpu_ranks(config: Config) -> None:
    """Initialise distributed training over gloo without CUDA; mmengine's own initialisation needs a GPU. Does nothing with CUDA or one
    process. Raises ValueError if the process was not started by the config's launcher.

    Args:
        config: changed so that the model wrapper does not expect a GPU.
    """
    launcher = config.get('launcher', 'none')
    variable, start = LAUNCHERS.get(launcher, ('PATH', ''))
    if variable not in os.environ and not torch.distributed.is_initialized():
        raise ValueError(f'launcher {launcher!r}: the environment variable {variable} is not set. Start the processes with {start}.')
    if launcher != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    config.merge_from_dict({'model_wrapper_cfg.type': 'MMDistributedDataParallel', 'model_wrapper_cfg.device_ids': None})


def check_checkpoint(model: nn.Module, path: str | Path, whole: bool, classes: Sequence[str] | None = None) -> None:
    """Compare a checkpoint with the model before it is loaded: mmengine silently ignores tensors that do not match.

    Args:
        whole: whether every tensor must be present (when resuming). Otherwise, whole stages may be missing on either side.
        classes: names in label order, which must be those of the checkpoint, if it names some; None compares nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, or of another model or other classes; says what differs.
    """
    checkpoint = read_checkpoint(path)
    check_classes(path, checkpoint['meta'], classes)
    wanted, given = model.state_dict(), checkpoint['state_dict']
    common = {_part(key) for key in wanted} & {_part(key) for key in given} | {'backbone'}
    compared = [key for key in [*wanted, *(key for key in given if key not in wanted)] if whole or _part(key) in common]
    differences = {
        'missing': [key for key in compared if key not in given],
        'unexpected': [key for key in compared if key not in wanted],
        'of another shape or type': [key for key in compared if key in wanted and key in given and differs(given[key], wanted[key])],
    }
    found = [f'{len(keys)} {what} ({", ".join(keys[:3])}{", ..." if keys[3:] else ""})' for what, keys in differences.items() if keys]
    if found:
        raise ValueError(
            f'Checkpoint {path} belongs to another model than the config: {"; ".join(found)}. Give a checkpoint of this model.'
        )


def _part(key: str) -> str:
    """The backbone or stage to which a tensor belongs."""
    names = key.split('.')
    return '.'.join(names[:2]) if names[0] == 'stages' else names[0]

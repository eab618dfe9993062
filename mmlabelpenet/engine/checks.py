"""Checks of data, hooks and phases before training. A ValueError says in one line which config key to change, and how."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.runner import LogProcessor
from torch.utils.data import BatchSampler, DataLoader

from mmlabelpenet.engine.phases import RECURRENT, Phase
from mmlabelpenet.models.recurrent import BACKWARD, FORWARD
from mmlabelpenet.models.stage import Stage
from mmlabelpenet.schema import counted


def check_loader(loader: DataLoader, num_classes: int) -> None:
    """Reject a training data loader that the loop cannot use."""
    sampler, dataset = type(loader.sampler).__name__, type(loader.dataset).__name__
    if not hasattr(loader.sampler, 'start'):
        batches = '' if type(loader.batch_sampler) is BatchSampler else f' and remove batch_sampler, {type(loader.batch_sampler).__name__}'
        raise ValueError(
            f"The sampler must be resumable, got {sampler}: set train_dataloader.sampler=dict(type='ResumableSampler'), which shuffles and "
            f'never ends{batches}.'
        )
    if loader.persistent_workers:
        raise ValueError('Workers keep the pseudo labels of a phase and must end with it: set persistent_workers=False.')
    if not hasattr(loader.dataset, 'use_pseudo_labels'):
        raise ValueError(
            f'{dataset} does not support pseudo labels. train_dataloader.dataset must be a VOCTags, or one in a ConcatDataset, '
            "RepeatDataset or ClassBalancedDataset of mmlabelpenet: use these without the prefixes 'mmdet.' and 'mmengine.'."
        )
    classes = loader.dataset.metainfo['classes']
    if len(classes) != num_classes:
        raise ValueError(
            f'The model has {counted(num_classes, "class")}, the training set {len(classes)} ({", ".join(classes[:5])}, ...). '
            f'Set model.num_classes={len(classes)}, or metainfo.classes of the data sets.'
        )


BY_EPOCH = {  # attributes of hooks that count epochs, and their replacements
    'by_epoch': 'set its by_epoch=False',
    'enabled_by_epoch': 'set its begin_iter instead of begin_epoch',
    'switch_epoch': 'remove it; all phases use the same pipeline',
    'num_last_epochs': 'remove it; all phases use the same pipeline',
}


OF_OTHER_DETECTORS = {
    'MeanTeacherHook': 'averages weights into the teacher of a semi-supervised detector: use EMAHook.',
    'SetEpochInfoHook': 'counts epochs, but this training counts only iterations: remove it.',
}


def check_hooks(hooks: Sequence[Hook], log_processor: LogProcessor, validates: bool) -> None:
    """Reject hooks that count epochs (a training in phases has only one), those of other detectors, and those that wait for a validation
    which never comes.
    """
    counts = [(hook, 'default_hooks.checkpoint') for hook in hooks if isinstance(hook, CheckpointHook)] + [(log_processor, 'log_processor')]
    for part, key in counts:
        if part.by_epoch:
            raise ValueError(f'{type(part).__name__} counts epochs, but this training counts only iterations: set {key}.by_epoch=False.')
    for hook in hooks:
        for name, advice in BY_EPOCH.items():
            if getattr(hook, name, False):
                raise ValueError(f'{type(hook).__name__} counts epochs, but this training counts only iterations: {advice}.')
        if advice := OF_OTHER_DETECTORS.get(type(hook).__name__):
            raise ValueError(f'{type(hook).__name__} {advice}')
        saves_best = getattr(hook, 'save_best', None)
        if not validates and (saves_best or isinstance(hook, EarlyStoppingHook)):
            waits = 'default_hooks.checkpoint.save_best' if saves_best else type(hook).__name__
            raise ValueError(f'{waits} needs validation: set val_dataloader, val_evaluator and val_cfg, or remove it.')


def check_stores(phases: Iterable[Phase], stages: Mapping[str, Stage]) -> None:
    """Reject label stores of phases whose stage learns from tags, and a first stage that learns from labels without a source of labels."""
    first = next(iter(stages.values()), None)
    for phase in phases:
        if (phase.pseudo_labels or phase.any_maker) and phase.name in stages and stages[phase.name].learns_from_tags:
            key = 'pseudo_labels' if phase.pseudo_labels else 'any_maker'
            raise ValueError(f'{phase.name} learns from tags: remove {key} from train_cfg.phases.{phase.name}.')
        if first is None or first.learns_from_tags:
            continue
        if phase.name == first.name and not phase.pseudo_labels:
            raise ValueError(
                f'{first.name} is the first stage, so no stage makes the labels that it learns from: set '
                f"train_cfg.phases.{first.name}.pseudo_labels to a label store, or model.stages.{first.name}.learns_from='tags'."
            )
        if phase.name == RECURRENT and FORWARD in phase.directions:
            raise ValueError(
                f'{first.name} is the first stage and does not learn from tags, so it has no labels in the forward direction: set '
                f"train_cfg.phases.{RECURRENT}.directions=[{BACKWARD!r}], or model.stages.{first.name}.learns_from='tags'."
            )


def check_tags_teach(classes: Sequence[str], trained: Iterable[Stage]) -> None:
    """Reject training from tags of a single class."""
    if len(classes) == 1 and any(stage.learns_from_tags for stage in trained):
        raise ValueError(
            f'There is only one class, {classes[0]!r}: if every image has the same tag, objects cannot be distinguished from their '
            'surroundings, and no gradient reaches the network. Add images of other classes with their tags.'
        )


def check_covered(dataset: Any, labelled: Iterable[str]) -> None:
    """Reject training on images other than those that are labelled."""
    if missing := sorted(set(dataset.image_ids) - set(labelled)):
        raise ValueError(
            f'{counted(len(missing), "training image", "has")} no pseudo labels, for example {missing[0]!r}. '
            'label_dataloader.dataset, or the store named by the phase, must contain all images of train_dataloader.dataset: set the same '
            'split and indices for both data sets.'
        )

"""What the loop needs of the data. A ValueError says in one line which key of the config to change, and how."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import LogProcessor
from torch.utils.data import BatchSampler, DataLoader

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.models.stage import Stage


def check_loader(loader: DataLoader, num_classes: int) -> None:
    """Refuse a data loader of the training split that the loop cannot draw from."""
    sampler, dataset = type(loader.sampler).__name__, type(loader.dataset).__name__
    if not hasattr(loader.sampler, 'start'):
        batches = (
            '' if type(loader.batch_sampler) is BatchSampler else f' and leave out batch_sampler, {type(loader.batch_sampler).__name__}'
        )
        raise ValueError(
            f"Draws must be resumable, got {sampler}: set train_dataloader.sampler=dict(type='ResumableSampler'), which shuffles and "
            f'never ends{batches}.'
        )
    if loader.persistent_workers:
        raise ValueError('Workers must not outlive a phase, they keep its pseudo labels: set persistent_workers=False.')
    if not hasattr(loader.dataset, 'use_pseudo_labels'):
        raise ValueError(
            f'{dataset} takes no pseudo labels. train_dataloader.dataset is a VOCTags, or one in a ConcatDataset, RepeatDataset or '
            "ClassBalancedDataset of mmlabelpenet: write these without 'mmdet.' or 'mmengine.' before them."
        )
    classes = loader.dataset.metainfo['classes']
    if len(classes) != num_classes:
        raise ValueError(
            f'The model has {num_classes} classes, the training set {len(classes)} ({", ".join(classes[:5])}, ...). '
            f'Set model.num_classes={len(classes)}, or metainfo.classes of the data sets.'
        )


BY_EPOCH = {  # attributes of hooks that count epochs, and what to write
    'by_epoch': 'set its by_epoch=False',
    'enabled_by_epoch': 'set its begin_iter instead of begin_epoch',
    'switch_epoch': 'leave it out; all phases have one pipeline',
    'num_last_epochs': 'leave it out; all phases have one pipeline',
}


def check_hooks(hooks: Sequence[Hook], log_processor: LogProcessor) -> None:
    """Refuse what counts epochs: a training in phases has one, which ends with the last iteration. Also a teacher of semi-supervision."""
    counts = [(hook, 'default_hooks.checkpoint') for hook in hooks if isinstance(hook, CheckpointHook)] + [(log_processor, 'log_processor')]
    for part, key in counts:
        if part.by_epoch:
            raise ValueError(f'{type(part).__name__} counts epochs, and this training has iterations alone: set {key}.by_epoch=False.')
    for hook in hooks:
        for name, advice in BY_EPOCH.items():
            if getattr(hook, name, False):
                raise ValueError(f'{type(hook).__name__} counts epochs, and this training has iterations alone: {advice}.')
        if type(hook).__name__ == 'MeanTeacherHook':
            raise ValueError('MeanTeacherHook averages weights into the teacher of a semi-supervised detector: use EMAHook.')


def check_tags_teach(classes: Sequence[str], trained: Iterable[Stage]) -> None:
    """Refuse to train a stage from the tags of one class."""
    if len(classes) == 1 and any(stage.learns_from_tags for stage in trained):
        raise ValueError(
            f'There is one class only, {classes[0]!r}: where every image has the same tag, nothing tells it from its surroundings, and no '
            'gradient reaches the network. Add images of other things with their tags.'
        )


def check_covered(dataset: Any, store: PseudoLabelStore) -> None:
    """Refuse to train on images that were not labelled."""
    if missing := sorted(set(dataset.image_ids) - set(store.image_ids)):
        raise ValueError(
            f'{len(missing)} training images have no entry in the pseudo labels, {missing[0]!r} for one. label_dataloader.dataset, or the '
            'store that the phase names, must hold all images of train_dataloader.dataset: give both data sets the same split and indices.'
        )

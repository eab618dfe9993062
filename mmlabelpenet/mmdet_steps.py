"""MMDetection pipeline steps that do not support tags, proposals and pseudo instances, and their replacements."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcv import transforms as mmcv_transforms
from mmdet.datasets import transforms as mmdet_transforms

from mmlabelpenet.schema import short

# Steps of mmdet and mmcv that transform boxes: they transform proposals only inside a ProposalBroadcaster.
MOVING = (
    'CenterCrop', 'Expand', 'FixScaleResize', 'FixShapeResize', 'RandomAffine', 'RandomChoiceResize', 'RandomCrop', 'RandomFlip',
    'RandomResize', 'RandomShift', 'RandomTranslate', 'Resize', 'ResizeShortestEdge', 'Rotate', 'ShearX', 'ShearY', 'TranslateX',
    'TranslateY',
)  # fmt: skip
# Steps that mix images, or crop depending on boxes, which differ between proposals and pseudo instances.
UNFIT = ('Albu', 'CachedMixUp', 'CachedMosaic', 'CopyPaste', 'MinIoURandomCrop', 'MixUp', 'Mosaic', 'RandomCenterCropPad')

INSTEAD = {
    'Pad': 'Pad would make masks of the padded image: remove it, model.data_preprocessor pads (pad_size_divisor).',
    'Normalize': 'Normalize would be applied twice: remove it, model.data_preprocessor has mean and std.',
    'PackDetInputs': "PackDetInputs drops tags and passes on annotations: use dict(type='PackTagInputs').",
}


def check_pipeline(pipeline: Sequence[Any]) -> None:
    """Reject steps that cannot transform tags, proposals or pseudo instances.

    Args:
        pipeline: config of a data set with tags; steps that are not dicts pass.

    Raises:
        ValueError: a step that mixes images or crops depending on boxes, one that transforms boxes but not proposals, a crop that fails
            without labels, mmdet's test-time augmentation, a second normalization, or a missing step.

    >>> check_pipeline([dict(type='LoadProposals'), dict(type='Resize', scale=(8, 8)), dict(type='PackTagInputs')])
    Traceback (most recent call last):
    ValueError: Resize transforms boxes, but not the proposals: use dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', ...)]).
    """
    if not pipeline:
        raise ValueError("The pipeline is empty: start it with dict(type='LoadImageFromFile') and end it with dict(type='PackTagInputs').")
    with_proposals = any(_name(step) == 'LoadProposals' for step in pipeline)
    for step, inside in _steps(pipeline):
        name = _name(step)
        if name in UNFIT:
            raise ValueError(
                f'{name} mixes images or transforms boxes in a way that does not support tags and proposals. Use RandomChoiceResize, '
                'RandomFlip, RandomCrop with allow_negative_crop=True or PhotoMetricDistortion instead.'
            )
        if name == 'TestTimeAug' and not any(_name(inner) == 'ProposalBroadcaster' for inner, _ in _steps(step['transforms'])):
            raise ValueError(
                'TestTimeAug transforms boxes, but not the proposals. Test with python tools/test.py CONFIG CHECKPOINT --tta of '
                'mmlabelpenet, which creates the views defined by the key tta of the config.'
            )
        if name == 'ProposalBroadcaster' and not with_proposals:
            raise ValueError("ProposalBroadcaster transforms proposals, but none are loaded: put dict(type='LoadProposals') before it.")
        if name in INSTEAD:
            raise ValueError(INSTEAD[name])
        if with_proposals and not inside and name in MOVING:
            raise ValueError(
                f"{name} transforms boxes, but not the proposals: use dict(type='ProposalBroadcaster', transforms=[dict(type={name!r}, "
                '...)]).'
            )
        if name == 'RandomCrop' and not step.get('allow_negative_crop'):
            raise ValueError('RandomCrop fails on images without pseudo instances, as in the first phase: set allow_negative_crop=True.')
        scales = step.get('scales', ()) if name == 'RandomChoiceResize' else ()
        if not isinstance(scales, list | tuple) or not all(isinstance(scale, tuple | int) for scale in scales):
            raise ValueError(
                'RandomChoiceResize takes tuples, which JSON cannot express: write scales=[(width, height), ...], got '
                f'scales={short(scales)}.'
            )
    if _foreign(pipeline[-1]) and not any(_name(step).startswith('Pack') for step, _ in _steps(pipeline)):
        raise ValueError("The pipeline packs nothing: end it with dict(type='PackTagInputs').")


def check_reversible(pipeline: Sequence[Any], reason: str) -> None:
    """Reject steps after which boxes cannot be converted back to the original image, which needs its size and flip only.

    >>> check_reversible([dict(type='Resize'), dict(type='RandomCrop')], 'labels are stored')
    Traceback (most recent call last):
    ValueError: RandomCrop moves boxes in a way that is not undone, but labels are stored. Use only resizing and RandomFlip.
    """
    for name in (_name(step) for step, _ in _steps(pipeline)):
        if name in MOVING and 'Resize' not in name and name != 'RandomFlip':
            raise ValueError(f'{name} moves boxes in a way that is not undone, but {reason}. Use only resizing and RandomFlip.')


def _steps(pipeline: Sequence[Any], inside: bool = False) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """All steps that are dicts, including nested ones, and whether they are inside a ``ProposalBroadcaster``."""
    for step in pipeline:
        if isinstance(step, Mapping):
            yield step, inside
            inner = step.get('transforms') or ()
            if not isinstance(inner, list | tuple):
                raise ValueError(f'{_name(step)}.transforms must be a list of steps, got {short(inner)}.')
            yield from _steps(inner, inside or _name(step) == 'ProposalBroadcaster')
        elif isinstance(step, list | tuple):
            yield from _steps(step, inside)


def _foreign(step: Any) -> bool:
    """Whether a step is one of mmdet's or mmcv's, or derived from one."""
    return any(hasattr(module, _name(step)) for module in (mmcv_transforms, mmdet_transforms))


def _name(step: Any) -> str:
    kind = step.get('type') if isinstance(step, Mapping) else type(step)
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')

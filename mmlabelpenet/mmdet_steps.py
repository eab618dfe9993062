"""Steps of MMDetection's pipelines that tags, proposals and pseudo instances cannot follow: what to write instead."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcv import transforms as mmcv_transforms
from mmdet.datasets import transforms as mmdet_transforms

# Steps of mmdet and mmcv that move boxes: proposals follow them inside a ProposalBroadcaster only.
MOVING = (
    'CenterCrop', 'Expand', 'FixScaleResize', 'FixShapeResize', 'RandomAffine', 'RandomChoiceResize', 'RandomCrop', 'RandomFlip',
    'RandomResize', 'RandomShift', 'RandomTranslate', 'Resize', 'ResizeShortestEdge', 'Rotate', 'ShearX', 'ShearY', 'TranslateX',
    'TranslateY',
)  # fmt: skip
# Steps that mix images, choose where to crop by the boxes, of which proposals and pseudo instances have different ones, or may do either.
UNFIT = ('Albu', 'CachedMixUp', 'CachedMosaic', 'CopyPaste', 'MinIoURandomCrop', 'MixUp', 'Mosaic', 'RandomCenterCropPad')

INSTEAD = {
    'Normalize': 'Normalize would come twice: leave it out, model.data_preprocessor has mean and std.',
    'PackDetInputs': "PackDetInputs leaves tags out and lets annotations pass: write dict(type='PackTagInputs').",
}


def check_pipeline(pipeline: Sequence[Any]) -> None:
    """Refuse steps that tags, proposals or pseudo instances cannot follow.

    Args:
        pipeline: config of a data set with tags; steps that are not dicts pass.

    Raises:
        ValueError: a step that mixes images or crops by boxes, one that moves boxes but not proposals, a crop that fails without labels,
            views that are not ours, a step that normalizes a second time, or one that is missing.

    >>> check_pipeline([dict(type='LoadProposals'), dict(type='Resize', scale=(8, 8)), dict(type='PackTagInputs')])
    Traceback (most recent call last):
    ValueError: Resize moves boxes, but not the proposals: write dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', ...)]).
    """
    if not pipeline:
        raise ValueError("The pipeline is empty: it begins with dict(type='LoadImageFromFile') and ends with dict(type='PackTagInputs').")
    with_proposals = any(_name(step) == 'LoadProposals' for step in pipeline)
    for step, inside in _steps(pipeline):
        name = _name(step)
        if name in UNFIT:
            raise ValueError(
                f'{name} mixes images or moves boxes in its own way, which tags and proposals cannot follow. Use RandomChoiceResize, '
                'RandomFlip, RandomCrop with allow_negative_crop=True or PhotoMetricDistortion instead.'
            )
        if name == 'TestTimeAug' and not any(_name(inner) == 'ProposalBroadcaster' for inner, _ in _steps(step['transforms'])):
            raise ValueError(
                'TestTimeAug moves boxes, but not the proposals. Test with python tools/test.py CONFIG CHECKPOINT --tta of mmlabelpenet, '
                'which makes the views that the key tta of the config describes.'
            )
        if name == 'ProposalBroadcaster' and not with_proposals:
            raise ValueError("ProposalBroadcaster moves proposals, but none are loaded: put dict(type='LoadProposals') before it.")
        if name in INSTEAD:
            raise ValueError(INSTEAD[name])
        if with_proposals and not inside and name in MOVING:
            raise ValueError(
                f"{name} moves boxes, but not the proposals: write dict(type='ProposalBroadcaster', transforms=[dict(type={name!r}, ...)])."
            )
        if name == 'RandomCrop' and not step.get('allow_negative_crop'):
            raise ValueError('RandomCrop fails on images without pseudo instances, as in the first phase: set allow_negative_crop=True.')
        if name == 'RandomChoiceResize' and any(isinstance(scale, list) for scale in step.get('scales') or ()):
            raise ValueError('RandomChoiceResize takes tuples, which JSON cannot express: write scales=[(width, height), ...].')
    if _foreign(pipeline[-1]) and not any(_name(step).startswith('Pack') for step, _ in _steps(pipeline)):
        raise ValueError("The pipeline packs nothing: end it with dict(type='PackTagInputs').")


def _steps(pipeline: Sequence[Any], inside: bool = False) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """All steps that are dicts, those of others too, and whether they are inside a ``ProposalBroadcaster``."""
    for step in pipeline:
        if isinstance(step, Mapping):
            yield step, inside
            yield from _steps(step.get('transforms') or (), inside or _name(step) == 'ProposalBroadcaster')
        elif isinstance(step, list | tuple):
            yield from _steps(step, inside)


def _foreign(step: Any) -> bool:
    """Whether a step is one of mmdet's or mmcv's, or derived from one."""
    return any(hasattr(module, _name(step)) for module in (mmcv_transforms, mmdet_transforms))


def _name(step: Any) -> str:
    kind = step.get('type') if isinstance(step, Mapping) else type(step)
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')

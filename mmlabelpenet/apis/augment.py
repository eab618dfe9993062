"""Convert a config to test-time augmentation (choice L11)."""

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from mmlabelpenet.schema import is_number, short


def augment_test(config: Config) -> Config:
    """A copy of a config whose test data loaders yield the views of ``tta`` and whose model merges them.

    Args:
        config: with ``tta``: ``model``, the type that merges views, ``scales``, relative to the test pipeline's ``Resize``, and ``flip``,
            whether each scale is also flipped. Views are merged in the frame of the first scale without flip.

    Raises:
        ValueError: the config has no ``tta``, or one without a scale, or its test pipeline has no ``Resize``.
    """
    if config.get('tta') is None:
        raise ValueError("The config has no key 'tta', which defines test-time augmentation. Add _base_/tta.py to its _base_.")
    check_views(config.tta)
    config = copy.deepcopy(config)
    for name in ('test_dataloader', 'corloc_dataloader'):
        if config.get(name) is not None:
            config[name].dataset.pipeline = view_pipeline(config[name].dataset.pipeline, config.tta.scales, config.tta.flip)
    config.model = ConfigDict(**config.tta.model, module=config.model)
    return config


def check_views(tta: Mapping[str, Any]) -> None:
    """Raise a ValueError for ``tta`` without model or scales, or with scales that are not numbers above 0.

    >>> check_views(dict(model=dict(type='LabelPENetTTA'), scales=[], flip=True))
    Traceback (most recent call last):
    ValueError: tta.scales must be a list of at least one finite number above 0, such as [1.0, 1.5], got [].
    """
    if missing := [key for key in ('model', 'scales', 'flip') if key not in tta]:
        raise ValueError(f'tta has no {missing[0]}, which test-time augmentation needs: see configs/_base_/tta.py.')
    scales = tta['scales']
    good = isinstance(scales, list | tuple) and all(is_number(scale) and 0 < scale < float('inf') for scale in scales)
    if not scales or not good:
        raise ValueError(f'tta.scales must be a list of at least one finite number above 0, such as [1.0, 1.5], got {short(scales)}.')
    if not isinstance(tta['flip'], bool):
        raise ValueError(f'tta.flip must be True or False, got {short(tta["flip"])}.')


def view_pipeline(pipeline: list[dict], scales: list[float], flip: bool) -> list[dict]:
    """A test pipeline that yields every image at each scale and, with ``flip``, also flipped.

    >>> resize = dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale=(400, 300), keep_ratio=True)])
    >>> steps = view_pipeline([dict(type='LoadImageFromFile'), resize, dict(type='PackTagInputs')], [1.0, 1.5], True)
    >>> [step['type'] for step in steps], len(steps[1]['transforms'][0])
    (['LoadImageFromFile', 'TestTimeAug'], 4)
    >>> steps[1]['transforms'][0][3]['transforms']
    [{'type': 'Resize', 'scale': (600, 450), 'keep_ratio': True}, {'type': 'RandomFlip', 'prob': 1.0}]
    """
    places = [place for place, step in enumerate(pipeline) if any(inner['type'] == 'Resize' for inner in step.get('transforms', ()))]
    if not places:
        raise ValueError(
            f'Test-time augmentation needs a test pipeline with a Resize inside a ProposalBroadcaster. '
            f'Got {[step["type"] for step in pipeline]}.'
        )
    place = places[0]
    flips = [[], [dict(type='RandomFlip', prob=1.0)]] if flip else [[]]
    views = [
        dict(pipeline[place], transforms=[*(_scaled(step, scale) for step in pipeline[place]['transforms']), *mirror])
        for scale in scales
        for mirror in flips
    ]
    rest = [[step] for step in pipeline[place + 1 :]]
    return [*pipeline[:place], dict(type='TestTimeAug', transforms=[views, *rest])]


def _scaled(step: dict[str, Any], scale: float) -> dict[str, Any]:
    """A ``Resize`` multiplied by a scale; any other step unchanged."""
    if step['type'] != 'Resize':
        return step
    if step.get('scale') is None:
        return dict(step, scale_factor=step['scale_factor'] * scale)
    return dict(step, scale=tuple(round(side * scale) for side in step['scale']))

"""Configs of stages: the number of classes in every head, and checks of settings that must agree."""

import copy
from collections.abc import Sequence

from mmdet.models.detectors import TwoStageDetector
from mmengine.utils import to_2tuple
from torch import nn

from mmlabelpenet.models.weighted_heads import WeightedMaskHead

RESERVED = ('recurrent', 'forward', 'backward', 'all', 'meta', 'backbone')  # have another meaning where stages are named


def with_classes(detector: dict, num_classes: int) -> dict:
    """A copy of a detector's config (mmdet modifies its input) with the number of classes C set in all heads.

    Several box heads, as in Cascade R-CNN, raise a TypeError.
    """
    detector = copy.deepcopy(detector)
    if isinstance(detector['roi_head'].get('bbox_head'), Sequence):
        raise TypeError('A stage has a single roi_head.bbox_head, got a list, as in Cascade R-CNN: use several stages instead.')
    for head in ('bbox_head', 'mask_head', 'tag_head'):
        if detector['roi_head'].get(head) is not None:
            detector['roi_head'][head]['num_classes'] = num_classes
    return detector


def check_roi_size(roi_head: nn.Module, config: dict) -> None:
    """Raise a ValueError for a box head whose config expects RoI features of another size than its extractor returns."""
    sizes = [layer.output_size for layer in getattr(roi_head.bbox_roi_extractor, 'roi_layers', ())]
    wanted = (config.get('bbox_head') or {}).get('roi_feat_size')
    if sizes and isinstance(wanted, int) and sizes[0] not in (wanted, (wanted, wanted)):
        raise ValueError(f'roi_head.bbox_head.roi_feat_size is {wanted}, but bbox_roi_extractor returns {sizes[0]}. Set the same value.')


def check_mask_size(detector: TwoStageDetector) -> None:
    """Raise a ValueError for a mask head whose masks have another size than those from which it learns."""
    head, rcnn = detector.roi_head.mask_head if detector.with_mask else None, (detector.train_cfg or {}).get('rcnn')
    if isinstance(head, WeightedMaskHead) and rcnn:
        factor, layer = head.scale_factor if head.upsample else 1, detector.roi_head.mask_roi_extractor.roi_layers[0]
        size = tuple(factor * side for side in to_2tuple(layer.output_size))
        if size != to_2tuple(rcnn.mask_size):
            raise ValueError(
                f'train_cfg.rcnn.mask_size is {rcnn.mask_size}, but the masks of the mask head have size {size}, {factor} times '
                'mask_roi_extractor.roi_layer.output_size. Set the same size.'
            )


def check_stages(stages: dict[str, dict | None]) -> dict[str, dict]:
    """The stages of a config in their order, without those set to None in a derived config.

    Raises:
        ValueError: no stage, an invalid name, a name with another meaning in configs, or a stage before the last without ``labels``.

    >>> list(check_stages(dict(classification=dict(labels={}), detection=dict(), refinement=None)))
    ['classification', 'detection']
    """
    stages = {name: stage for name, stage in stages.items() if stage is not None}
    if not stages:
        raise ValueError('The model needs at least one stage in model.stages, got none.')
    for name in stages:
        if not name.isidentifier() or 'loss' in name or name in RESERVED:
            raise ValueError(
                f"The name of a stage must be a Python identifier without 'loss' and other than {', '.join(RESERVED)}; got {name!r}."
            )
    if missing := [name for name in list(stages)[:-1] if stages[name].get('labels') is None]:
        raise ValueError(
            f'Stages {missing} hand over labels to the next stage, so each needs a label generator: model.stages.{missing[0]}.labels.'
        )
    return stages

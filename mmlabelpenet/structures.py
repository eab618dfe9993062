"""Data passed between stages: pseudo instances, and samples that hold nothing else (paper Sec. 3.2, Fig. 1a).

Shapes: N images, R proposals of one image, C classes, K pseudo instances, (h, w) image.
Boxes: float32 xyxy in pixels of the network input unless said otherwise. Image sizes are (h, w), scale factors (w, h).
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.schema import counted


def pseudo_instances(bboxes: Tensor, labels: Tensor, masks: np.ndarray, weights: Tensor) -> InstanceData:
    """Check generated labels and pack them; every field exists even if K is 0.

    Args:
        bboxes: float (K, 4).
        labels: int64 (K,), values in [0, C).
        masks: bool or uint8 (K, h, w), which become BitmapMasks; an all-zero mask means "box only".
        weights: float (K,) in (0, 1], the w* of Eq. 3 and 4.

    Raises:
        ValueError: lengths differ, a box is not finite or has no area, or a weight is outside (0, 1].

    >>> pseudo_instances(torch.zeros(0, 4), torch.zeros(0).long(), np.zeros((0, 8, 9)), torch.zeros(0)).masks.masks.shape
    (0, 8, 9)
    """
    lengths = (len(bboxes), len(labels), len(masks), len(weights))
    if len(set(lengths)) != 1:
        raise ValueError(f'Pseudo instances need as many boxes as labels, masks and weights, got {lengths}.')
    if not torch.isfinite(bboxes).all():
        raise ValueError('Pseudo instances need finite boxes, got NaN or infinity. The stage that generated them has diverged.')
    _refuse_empty(bboxes.reshape(-1, 4))
    if len(weights) and not (weights.min() > 0 and weights.max() <= 1):
        raise ValueError(
            f'Pseudo instances need weights in (0, 1], got min {weights.min():.3g}, max {weights.max():.3g}. '
            'Normalise scores before handing them over.'
        )
    return InstanceData(
        bboxes=bboxes.float().reshape(-1, 4),
        labels=labels.long(),
        masks=BitmapMasks(np.ascontiguousarray(masks, dtype=np.uint8), *masks.shape[1:]),
        weights=weights.float(),
    )


def clip_boxes(bboxes: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes float (..., 4) clipped to an image of size (h, w).

    >>> clip_boxes(torch.tensor([[-2.0, 1, 4, 9], [12, 0, 15, 5]]), (8, 10)).tolist()
    [[0.0, 1.0, 4.0, 8.0], [10.0, 0.0, 10.0, 5.0]]
    """
    h, w = size[:2]
    return bboxes.clamp(min=0).minimum(bboxes.new_tensor([w, h, w, h]))


def have_area(bboxes: Tensor) -> Tensor:
    """Which boxes float (..., 4) have a positive width and height, bool (...); NaN counts as positive, so that checks for finite values can
    find it.

    >>> have_area(torch.tensor([[0.0, 1, 4, 8], [160, 28.5, 160, 42.1]])).tolist()
    [True, False]
    """
    return ~(bboxes[..., 2:] <= bboxes[..., :2]).any(-1)


def _refuse_empty(bboxes: Tensor) -> None:
    """Raise a ValueError for boxes (K, 4) without area: their regression loss would be infinite."""
    empty = bboxes[~have_area(bboxes)]
    if len(empty):
        raise ValueError(
            f'Pseudo instances need boxes with a positive width and height, got {len(empty)} without, the first {empty[0].tolist()}. '
            'Remove those for which mmlabelpenet.structures.have_area is False.'
        )


def hand_over(
    samples: Sequence[DetDataSample], pseudo: Sequence[InstanceData] | None = None, keep: Sequence[str] = ()
) -> list[DetDataSample]:
    """New samples with metainfo and pseudo instances only; nothing else of the data set reaches the next stage.

    Selective-search proposals left on a sample would silently disable the RPN of the next stage.

    Args:
        samples: one per image.
        pseudo: pseudo instances per image, in the frame of the network input; they become ``gt_instances``, the name
            under which mmdet's detectors look for their targets.
        keep: names of further fields that the receiver needs (the classification stage: proposals and tags).

    Raises:
        ValueError: the number of entries differs from the number of images, or a box has no area.
    """
    if pseudo is not None and len(pseudo) != len(samples):
        raise ValueError(f'Expected pseudo instances for {counted(len(samples), "image")}, got {len(pseudo)}.')
    fresh = []
    for index, sample in enumerate(samples):
        new = DetDataSample(metainfo=sample.metainfo)
        for name in keep:
            setattr(new, name, getattr(sample, name).clone())
        if pseudo is not None:
            _refuse_empty(pseudo[index].bboxes)
            new.gt_instances = InstanceData(**dict(pseudo[index].items()))
        fresh.append(new)
    return fresh


def to_original(pseudo: InstanceData, metainfo: dict) -> InstanceData:
    """Pseudo instances in pixels of the original image, without flip; boxes outside the image are dropped."""
    scale = pseudo.bboxes.new_tensor(metainfo['scale_factor']).repeat(2)
    return _resize(_flip(pseudo, metainfo), 1 / scale, metainfo['ori_shape'])


def from_original(pseudo: InstanceData, metainfo: dict) -> InstanceData:
    """Pseudo instances in the frame of the network input; the inverse of :func:`to_original` up to the rounding of masks."""
    scale = pseudo.bboxes.new_tensor(metainfo['scale_factor']).repeat(2)
    return _flip(_resize(pseudo, scale, metainfo['img_shape']), metainfo)


def _resize(pseudo: InstanceData, scale: Tensor, size: Sequence[int]) -> InstanceData:
    bboxes = clip_boxes(pseudo.bboxes * scale, size)
    kept = have_area(bboxes)  # rounding may remove a thin box entirely
    return InstanceData(
        bboxes=bboxes[kept],
        labels=pseudo.labels[kept],
        masks=pseudo.masks[kept.nonzero().flatten().cpu().numpy()].resize(tuple(size[:2])),
        weights=pseudo.weights[kept],
    )


def _flip(pseudo: InstanceData, metainfo: dict) -> InstanceData:
    """Flip horizontally if the sample is flipped."""
    if not metainfo.get('flip', False):
        return pseudo
    return InstanceData(
        bboxes=upright_boxes(pseudo.bboxes, metainfo),
        labels=pseudo.labels,
        masks=pseudo.masks.flip('horizontal'),
        weights=pseudo.weights,
    )


def upright_boxes(bboxes: Tensor, metainfo: dict) -> Tensor:
    """Flip boxes (..., 4) horizontally if the sample is flipped; its own inverse.

    Raises:
        ValueError: the sample is flipped in another direction.

    >>> upright_boxes(torch.tensor([[1.0, 2, 4, 5]]), dict(img_shape=(6, 10), flip=True, flip_direction='horizontal')).tolist()
    [[6.0, 2.0, 9.0, 5.0]]
    """
    if not metainfo.get('flip', False):
        return bboxes
    if metainfo['flip_direction'] != 'horizontal':
        raise ValueError(f'Only horizontal flips are supported, got {metainfo["flip_direction"]!r}.')
    x1, y1, x2, y2 = bboxes.unbind(-1)
    width = metainfo['img_shape'][1]
    return torch.stack([width - x2, y1, width - x1, y2], -1)

"""Boxes of the trivial baselines: the whole image, the largest proposal, a random proposal, or the object in a class activation map.

Shapes: R proposals, K classes, (h, w) image, (h', w') feature map. Boxes: float32 xyxy in pixels of the network input.
"""

import math
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlabelpenet.calibration.crf import DenseCRF
from mmlabelpenet.calibration.objects import largest_component

METHODS = ('largest', 'whole', 'random', 'cam')
WHOLE = 0.99  # a box that covers a larger fraction of the image counts as the whole image


def chosen_boxes(method: str, proposals: Tensor, size: tuple[int, int], count: int, key: str = '', seed: int = 0) -> Tensor:
    """Boxes of a method that ignores the image content, float (count, 4).

    Args:
        method: ``'whole'`` image, ``'largest'`` proposal except the whole image, which selective search always proposes, or ``'random'``,
            an independent random proposal for each class.
        proposals: float (R, 4); without any, the box is the whole image.
        key: name of the image, part of the random seed.

    Raises:
        ValueError: another method.

    >>> chosen_boxes('largest', torch.tensor([[0.0, 0, 6, 6], [1, 1, 5, 5], [0, 0, 2, 2]]), (6, 6), 1).tolist()
    [[1.0, 1.0, 5.0, 5.0]]
    """
    if method not in ('whole', 'largest', 'random'):
        raise ValueError(f"Expected 'whole', 'largest' or 'random', got {method!r}.")
    if method == 'whole' or len(proposals) == 0:
        return torch.tensor([[0.0, 0.0, size[1], size[0]]]).expand(count, 4)
    if method == 'largest':
        area = (proposals[:, 2] - proposals[:, 0]) * (proposals[:, 3] - proposals[:, 1])
        part = area < WHOLE * size[0] * size[1]
        return proposals[(area * part if part.any() else area).argmax()].expand(count, 4)
    picked = np.random.default_rng([seed, zlib.crc32(key.encode())]).integers(len(proposals), size=count)
    return proposals[torch.from_numpy(picked)]


def box_masks(bboxes: Tensor, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Filled boxes as masks, bool (K, h, w); empty for a box of NaN.

    >>> box_masks(torch.tensor([[0.0, 0, 2, 1]]), (2, 3))[0].tolist()
    [[True, True, False], [False, False, False]]
    """
    masks = np.zeros((len(bboxes), *size), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, bboxes.nan_to_num(0).round().int().tolist(), strict=True):
        mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
    return masks


def activation_masks(image: NDArray[np.uint8], activation: Tensor, threshold: float, crfs: Sequence[DenseCRF | None]) -> NDArray[np.bool_]:
    """Mask of the object in each class activation map: its largest component.

    For the CRF, the map, enlarged and divided by its maximum, is transformed to a probability that is 1/2 at the threshold.

    Args:
        image: RGB uint8 (h, w, 3).
        activation: float (K, h', w').
        threshold: in (0, 1), fraction of the maximum from which on a pixel belongs to the object.
        crfs: one for each map; None thresholds the map.

    Returns:
        bool (K, h, w); empty if no activation is positive. Other components are kept only inside the box of the largest.

    Raises:
        ValueError: the threshold is outside (0, 1).

    >>> activation_masks(np.zeros((2, 2, 3), np.uint8), torch.tensor([[[1.0, 0.0], [0.3, -1.0]]]), 0.25, [None])[0].tolist()
    [[True, False], [True, False]]
    """
    if not 0 < threshold < 1:
        raise ValueError(f'The threshold must be a fraction of the maximum in (0, 1), got {threshold}.')
    masks = np.zeros((len(activation), *image.shape[:2]), bool)
    for mask, one, crf in zip(masks, activation, crfs, strict=True):
        positive = cv2.resize(one.clamp(min=0).numpy(), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        if positive.max() > 0:
            probability = (positive / positive.max()) ** (math.log(0.5) / math.log(threshold))
            mask[:] = probability >= 0.5 if crf is None else crf(image, np.stack([1 - probability, probability])) == 1
            mask &= box_masks(torch.from_numpy(largest_component(mask))[None], mask.shape)[0]
    return masks


def mask_boxes(masks: NDArray[np.bool_]) -> Tensor:
    """Box of each mask's largest component, float (K, 4); for an empty mask, the whole image.

    >>> mask_boxes(np.array([[[True, False], [True, False]], [[False, False], [False, False]]])).tolist()
    [[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 2.0, 2.0]]
    """
    boxes = torch.from_numpy(np.stack([largest_component(mask) for mask in masks])) if len(masks) else torch.zeros(0, 4)
    whole = torch.tensor([0.0, 0.0, masks.shape[2], masks.shape[1]])
    return torch.where(boxes.isnan(), whole, boxes)

"""Class activation maps as evidence for the proposals of later stages.

The head of a stage that has learnt from few images tends to prefer parts of objects. The class activation map of the whole image, from the
stage that learns from tags, makes other errors. Scores therefore combine both.

Shapes: R proposals of one image, C classes, K of them with a map, (h, w) image.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor


def weigh_by_maps(candidates: InstanceData, labels: Sequence[int], maps: Tensor) -> InstanceData:
    """Candidates whose scores agree with the maps of their classes; other classes score zero.

    With the scores p of the head and the agreement a with the map, the new score of proposal r for class c is

        sqrt(p_rc · Σ_c' p_rc') · a_rc / max_r' a_r'c

    The sum is the score of "some object": with few images, extent is learnt better than class. The factor is 1 for the proposal that agrees
    best, so that thresholds keep their meaning.

    Args:
        candidates: ``bboxes`` float (R, C, 4), ``scores`` float (R, C).
        labels: classes of the maps.
        maps: float (K, h, w) in [0, 1], 0.5 at the border of an object.
    """
    scores = torch.zeros_like(candidates.scores)
    if len(labels) and len(candidates):
        agreement = map_agreement(candidates.bboxes[:, labels], maps).to(scores)
        strength = (candidates.scores[:, labels] * candidates.scores.sum(1, keepdim=True)).sqrt()
        scores[:, labels] = strength * agreement / agreement.amax(0).clamp(min=1e-9)
    weighed = candidates.clone()
    weighed.scores = scores
    return weighed


def map_agreement(bboxes: Tensor, maps: Tensor) -> Tensor:
    """Agreement in [0, 1] of boxes (R, K, 4) with the map of their class, float64 (R, K), on the CPU.

    With the share of the map that lies in the box, and the IoU of the box with the region above 0.5,

        a = share · sqrt(IoU),

    or the same for one of the :func:`separate_parts` of the map if that is higher: of several objects of a class, each may have a part of
    its own. Boxes are rounded to whole pixels.

    >>> maps = torch.zeros(1, 2, 4); maps[0, :, :2] = 1
    >>> map_agreement(torch.tensor([[[0.0, 0, 2, 2]], [[0.0, 0, 4, 2]], [[2.0, 0, 4, 2]]]), maps).flatten().tolist()
    [1.0, 0.7071067811865476, 0.0]
    """
    agreement, bboxes = np.zeros(bboxes.shape[:2]), bboxes.float().cpu().numpy().round()
    for which, image in enumerate(maps.float().cpu().numpy()):
        for part in separate_parts(image):
            agreement[:, which] = np.maximum(agreement[:, which], part_agreement(bboxes[:, which], part))
    return torch.from_numpy(agreement)


def part_agreement(bboxes: NDArray[np.float32], image: NDArray[np.float32]) -> NDArray[np.float64]:
    """share · sqrt(IoU) of boxes (R, 4), in whole pixels, with one map (h, w); (R,), NaN for a box that is not finite."""
    height, width = image.shape
    corners = np.nan_to_num(bboxes).clip(0, (width, height, width, height)).astype(int)
    area = (bboxes[:, 2:] - bboxes[:, :2]).clip(0).astype(np.float64).prod(1)
    region = (image > 0.5).astype(np.float32)
    mass, inside = box_sums(image, corners), box_sums(region, corners)
    overlap = inside / (area + region.sum() - inside).clip(1e-9)
    return mass / max(image.sum(dtype=np.float64), 1e-9) * np.sqrt(overlap)


def separate_parts(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """A map (h, w) and, if there are several, its parts above 0.5 that do not touch, without those below a tenth of the largest area.

    >>> [part.tolist() for part in separate_parts(np.float32([[1.0, 0.25, 0.75]]))[1:]]
    [[[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.75]]]
    """
    _, label, stats, _ = cv2.connectedComponentsWithStats((image > 0.5).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = [1 + which for which, area in enumerate(areas) if len(areas) > 1 and area >= 0.1 * areas.max()]
    return [image, *(image * (label == which) for which in kept)]


def box_sums(image: NDArray[np.float32], corners: NDArray[np.int_]) -> NDArray[np.float64]:
    """Sums of a map (h, w) in boxes with corners (R, 4), from an integral image; (R,).

    >>> box_sums(np.ones((2, 3), np.float32), np.array([[0, 0, 3, 2], [1, 1, 2, 2]])).tolist()
    [6.0, 1.0]
    """
    left, top, right, bottom = corners.T
    integral = cv2.integral(image)
    return integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]

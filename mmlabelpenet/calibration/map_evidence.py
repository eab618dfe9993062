"""Class activation maps as evidence for the proposals of later stages.

The head of a stage that has learnt from few images tends to prefer parts of objects. The class activation map of the whole image, from the
stage that learns from tags, makes other errors. Scores therefore combine both.

Shapes: R proposals of one image, C classes, K of them with a map, (h, w) image.
"""

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F


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
    """Agreement in [0, 1] of boxes (R, K, 4) with the map of their class, float64 (R, K): the share of the map that lies in the box, times
    the IoU of the box with the region above 0.5. Boxes are rounded to whole pixels.

    >>> maps = torch.zeros(1, 2, 4); maps[0, :, :2] = 1
    >>> map_agreement(torch.tensor([[[0.0, 0, 2, 2]], [[0.0, 0, 1, 2]], [[0.0, 0, 4, 2]], [[2.0, 0, 4, 2]]]), maps).flatten().tolist()
    [1.0, 0.25, 0.5, 0.0]
    """
    region = (maps > 0.5).double()
    height, width = maps.shape[1:]
    area = (bboxes[..., 2:] - bboxes[..., :2]).clamp(min=0).double().prod(-1)
    x, y = (bboxes[..., axis::2].round().long().clamp(0, side) for axis, side in enumerate((width, height)))
    mass, inside = box_sums(maps.double(), x, y), box_sums(region, x, y)
    share = mass / maps.double().sum((1, 2)).clamp(min=1e-9)
    return share * inside / (area + region.sum((1, 2)) - inside).clamp(min=1e-9)


def box_sums(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sums of maps (K, h, w) in boxes with sides ``x`` and ``y``, int64 (R, K, 2) each, from an integral image; (R, K)."""
    integral = F.pad(maps.cumsum(1).cumsum(2), (1, 0, 1, 0))
    which = torch.arange(len(maps), device=maps.device)
    (left, right), (top, bottom) = x.unbind(-1), y.unbind(-1)
    return integral[which, bottom, right] - integral[which, top, right] - integral[which, bottom, left] + integral[which, top, left]

"""Class activation maps as evidence for the proposals of later stages.

The head of a stage that has learnt from few images tends to prefer parts of objects. The class activation map of the whole image, from the
stage that learns from tags, makes other errors. Scores therefore combine both.

Shapes: R proposals of one image, C classes, K of them with a map, (h, w) image.
"""

from collections.abc import Sequence

import cv2
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
    """Agreement in [0, 1] of boxes (R, K, 4) with the map of their class, float64 (R, K).

    With the share of the map that lies in the box, and the IoU of the box with the region above 0.5,

        a = share · sqrt(IoU),

    or the same for one of the :func:`separate_parts` of the map if that is higher: of several objects of a class, each may have a part of
    its own. Boxes are rounded to whole pixels.

    >>> maps = torch.zeros(1, 2, 4); maps[0, :, :2] = 1
    >>> map_agreement(torch.tensor([[[0.0, 0, 2, 2]], [[0.0, 0, 4, 2]], [[2.0, 0, 4, 2]]]), maps).flatten().tolist()
    [1.0, 0.7071067811865476, 0.0]
    """
    parts = [(which, part) for which, each in enumerate(maps) for part in separate_parts(each)]
    owner = torch.tensor([which for which, _ in parts], device=maps.device)
    parts = torch.stack([part for _, part in parts]).double()
    region, bboxes = (parts > 0.5).double(), bboxes[:, owner]
    height, width = maps.shape[1:]
    area = (bboxes[..., 2:] - bboxes[..., :2]).clamp(min=0).double().prod(-1)
    x, y = (bboxes[..., axis::2].round().long().clamp(0, side) for axis, side in enumerate((width, height)))
    mass, inside = box_sums(parts, x, y), box_sums(region, x, y)
    share = mass / parts.sum((1, 2)).clamp(min=1e-9)
    overlap = inside / (area + region.sum((1, 2)) - inside).clamp(min=1e-9)
    agreement = share * overlap.sqrt()
    return torch.stack([agreement[:, owner == which].amax(1) for which in range(len(maps))], 1)


def separate_parts(image: Tensor) -> list[Tensor]:
    """A map (h, w) and, if there are several, its parts above 0.5 that do not touch, without those below a tenth of the largest area.

    >>> [part.tolist() for part in separate_parts(torch.tensor([[1.0, 0.2, 0.8]]))[1:]]
    [[[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.800000011920929]]]
    """
    _, label, stats, _ = cv2.connectedComponentsWithStats((image > 0.5).byte().cpu().numpy())
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = [1 + which for which, area in enumerate(areas) if len(areas) > 1 and area >= 0.1 * areas.max()]
    return [image, *(image * torch.from_numpy(label == which).to(image) for which in kept)]


def box_sums(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sums of maps (K, h, w) in boxes with sides ``x`` and ``y``, int64 (R, K, 2) each, from an integral image; (R, K)."""
    integral = F.pad(maps.cumsum(1).cumsum(2), (1, 0, 1, 0))
    which = torch.arange(len(maps), device=maps.device)
    (left, right), (top, bottom) = x.unbind(-1), y.unbind(-1)
    return integral[which, bottom, right] - integral[which, top, right] - integral[which, bottom, left] + integral[which, top, left]

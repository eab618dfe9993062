"""Select objects among proposals, assign members to them, and compute the box of a mask (paper Sec. 3.2, choices C6-C8, C13, L5).

Shapes: R proposals of one image, C classes, (h, w) image.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmcv.ops import nms
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.structures import have_area


class FoundObject(NamedTuple):
    """An object candidate R^c of a class c and the proposals that support it."""

    label: int
    bbox: Tensor  # float (4,)
    score: float  # the ranking score
    best: int  # index of R^c among the proposals
    members: Tensor  # int64 (M,), indices of R^c and of the proposals that it suppresses
    tags: tuple[int, ...]  # all classes searched for in the image


def find_objects(
    candidates: InstanceData,
    labels: list[int],
    nms_thr: float = 0.3,
    max_candidates: int = 300,
    max_per_tag: int | None = None,
    min_score: float = 0.3,
    max_overlap: float = 1.0,
) -> list[FoundObject]:
    """Non-maximum suppression per class; each suppressed proposal becomes a member of the best object that suppresses it.

    Args:
        candidates: ``bboxes`` float (R, C, 4), ``scores`` float (R, C).
        labels: classes to search for (the tags).
        nms_thr: IoU above which a higher-scoring box suppresses (choice C8).
        max_candidates: number of highest-scoring proposals per class that are considered.
        max_per_tag: maximum number of objects per class; 1 in the classification stage (choice C7).
        min_score: minimum score of further objects of a class; the best one is always kept (choice L5).
        max_overlap: if two objects of different classes overlap more than this, only the higher-scoring one is kept; 1 keeps both.

    Returns:
        objects, by class and descending score; an empty list for an image without proposals. Boxes without area are ignored.
    """
    found = []
    for label in labels:
        boxes = have_area(candidates.bboxes[:, label]).nonzero().flatten()
        if not len(boxes):
            continue
        scores, order = candidates.scores[boxes, label].sort(descending=True, stable=True)
        scores, order = scores[:max_candidates], boxes[order[:max_candidates]]
        bboxes = candidates.bboxes[order, label]
        _, kept = nms(bboxes, scores, nms_thr)
        kept = kept.sort().values
        owner = _owners(bbox_overlaps(bboxes, bboxes[kept]), kept, nms_thr)
        for rank, index in enumerate(kept.tolist()[:max_per_tag]):
            if rank and scores[index] < min_score:
                break
            members = order[(owner == rank).nonzero().flatten()]
            found.append(FoundObject(label, bboxes[index], float(scores[index]), int(order[index]), members, tuple(labels)))
    return one_class_per_object(found, max_overlap)


def _owners(overlaps: Tensor, kept: Tensor, nms_thr: float) -> Tensor:
    """The object to which each box belongs, int64 (R,), from overlaps (R, K) with the kept boxes."""
    overlaps[kept, torch.arange(len(kept), device=kept.device)] = 2  # the overlap of a tiny box even with itself may be small
    first = (overlaps > nms_thr).float().argmax(1)
    # NMS and this overlap may round differently at the threshold; a box without an owner joins the object of largest overlap.
    return torch.where(overlaps.amax(1) > nms_thr, first, overlaps.argmax(1))


def one_class_per_object(found: list[FoundObject], max_overlap: float) -> list[FoundObject]:
    """Remove objects that a higher-scoring one of another class overlaps by more than ``max_overlap``."""
    if not found:
        return found
    bboxes = torch.stack([item.bbox for item in found])
    overlap = bbox_overlaps(bboxes, bboxes)
    return [
        item
        for i, item in enumerate(found)
        if not any(other.label != item.label and other.score > item.score and overlap[i, j] > max_overlap for j, other in enumerate(found))
    ]


def distinct(members: Tensor, labels: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Unique pairs of proposal and class, int64 (M,) each, and the index of each input pair among them, int64 (M,).

    At test time, detections share many suppressed proposals. Pairs that are already unique are returned unchanged.

    >>> distinct(torch.tensor([7, 3, 7]), torch.tensor([1, 1, 1]))
    ((tensor([3, 7]), tensor([1, 1])), tensor([1, 0, 1]))
    """
    pairs, where = torch.stack([members, labels], 1).unique(dim=0, return_inverse=True)
    if len(pairs) == len(members):
        return (members, labels), torch.arange(len(members), device=members.device)
    return tuple(pairs.unbind(1)), where


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Tight box float32 (4,) of the largest component (8 neighbours) of a mask bool (h, w) (choice C13); NaN for an empty mask.

    >>> mask = np.zeros((5, 5), bool); mask[1:3, 2:5] = True; mask[4, 0] = True
    >>> largest_component(mask).tolist()
    [2.0, 1.0, 5.0, 3.0]
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width == 0:
        return np.full(4, np.nan, np.float32)
    part = mask[top : top + height, left : left + width]
    _, _, stats, _ = cv2.connectedComponentsWithStats(part.view(np.uint8))
    x, y, w, h, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()] + (left, top, 0, 0, 0)
    return np.array([x, y, x + w, y + h], np.float32)


def mask_bbox(mask: np.ndarray, proposal: Tensor, min_iou: float = 0.1) -> tuple[Tensor, np.ndarray]:
    """Box (4,) and mask bool (h, w) of an object after the CRF.

    If the mask's box and the proposal R^c (4,) have an IoU below ``min_iou``, returns R^c and an all-zero mask: "box only" (choice C13).
    """
    bbox = torch.from_numpy(largest_component(mask))
    if bbox.isnan().any() or bbox_overlaps(bbox[None], proposal[None]).item() < min_iou:
        return proposal, np.zeros_like(mask)
    return bbox, mask


def window(size: tuple[int, int], bbox: Sequence[float], margin: float = 0.0) -> tuple[slice, slice]:
    """Rows and columns of an image (h, w) inside a box, enlarged by a fraction of its sides and then to whole pixels.

    >>> window((2, 4), (0.5, 0.0, 2.2, 1.0))
    (slice(0, 1, None), slice(0, 3, None))
    """
    x1, y1, x2, y2 = (float(side) for side in bbox)
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    ends = ((y1 - dy, y2 + dy, size[0]), (x1 - dx, x2 + dx, size[1]))
    rows, columns = (slice(max(0, math.floor(low)), min(side, max(0, math.ceil(high)))) for low, high, side in ends)
    return rows, columns


def inside_box(size: tuple[int, int], bbox: Sequence[float], margin: float = 0.0) -> np.ndarray:
    """The pixels of a :func:`window`, bool (h, w).

    >>> inside_box((2, 4), (0.5, 0.0, 2.2, 1.0)).astype(int).tolist()
    [[1, 1, 1, 0], [0, 0, 0, 0]]
    """
    inside = np.zeros(size, bool)
    inside[window(size, bbox, margin)] = True
    return inside

"""IoU of boxes and masks, and the best-overlapping objects.

Shapes: D predictions and G objects, of one image or of many; C classes; (h, w) image.
Boxes: xyxy in pixels, 0-based and half-open, so that plain IoU equals the "+1" IoU of the VOC devkit's inclusive integer boxes.
Masks: COCO run-length codes (RLE), dicts ``{'size': [h, w], 'counts': bytes or str}``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from ..formats.rle import RLE


class BestOverlap(NamedTuple):
    """For each of D predictions, the object of the same image and class with the largest IoU.

    ``iou`` float64 (D,), -1 if there is no such object; ``index`` int64 (D,) into the objects, -1 likewise.
    """

    iou: NDArray[np.float64]
    index: NDArray[np.int64]


def paired_box_iou(first: NDArray, second: NDArray, legacy: bool = False) -> NDArray[np.float64]:
    """IoU of two arrays of boxes, element by element, with NumPy's broadcasting.

    Args:
        first: boxes, float (..., 4).
        second: boxes, float (..., 4).
        legacy: boxes include their last pixel (x2, y2 inclusive): a width is ``x2 - x1 + 1``.

    Returns:
        float64 (...); 0 if both boxes are empty.

    >>> float(paired_box_iou(np.array([0, 0, 10, 10]), np.array([0, 0, 10, 5])))
    0.5
    >>> float(paired_box_iou(np.array([0, 0, 9, 9]), np.array([0, 0, 9, 4]), legacy=True))
    0.5
    """
    extra = 1.0 if legacy else 0.0
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    width = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0]) + extra
    height = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1]) + extra
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = _area(first, extra) + _area(second, extra) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: NDArray[np.float64], extra: float) -> NDArray[np.float64]:
    width, height = boxes[..., 2] - boxes[..., 0] + extra, boxes[..., 3] - boxes[..., 1] + extra
    return np.maximum(width, 0.0) * np.maximum(height, 0.0)


def box_iou(first: NDArray, second: NDArray, legacy: bool = False) -> NDArray[np.float64]:
    """IoU of each of D boxes with each of G boxes.

    Args:
        first: float (D, 4).
        second: float (G, 4).
        legacy: see :func:`paired_box_iou`.

    Returns:
        float64 (D, G).

    >>> box_iou(np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 1], [5, 5, 6, 6]])).tolist()
    [[0.5, 0.0]]
    """
    first, second = np.asarray(first).reshape(-1, 4), np.asarray(second).reshape(-1, 4)
    return paired_box_iou(first[:, None], second[None], legacy)


def encode_masks(masks: NDArray) -> list[RLE]:
    """RLE of boolean masks.

    Args:
        masks: bool or 0/1 integers (D, h, w).

    Returns:
        D codes with ``counts`` as bytes.

    Raises:
        ValueError: the array does not have three axes.

    >>> encode_masks(np.ones((1, 2, 3), dtype=bool))[0]['size']
    [2, 3]
    """
    masks = np.asarray(masks)
    if masks.ndim != 3:
        raise ValueError(f'Masks need the shape (n, h, w) with one mask per instance, got {masks.shape}.')
    if len(masks) == 0:
        return []
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def mask_iou(first: Sequence[RLE], second: Sequence[RLE]) -> NDArray[np.float64]:
    """IoU of each of D masks with each of G masks of the same image.

    Args:
        first: D run-length codes.
        second: G run-length codes.

    Returns:
        float64 (D, G); 0 for empty masks.

    Raises:
        ValueError: the masks differ in size.

    >>> full, half = encode_masks(np.array([[[1, 1]], [[1, 0]]]))
    >>> mask_iou([full], [half, full]).tolist()
    [[0.5, 1.0]]
    """
    if len(first) == 0 or len(second) == 0:
        return np.zeros((len(first), len(second)))
    sizes = {tuple(code['size']) for code in (*first, *second)}
    if len(sizes) > 1:
        raise ValueError(
            f'Masks of one image must have the same size (h, w), got {sorted(sizes)}. Rescale predictions to the original image size.'
        )
    return coco_mask.iou(list(first), list(second), [0] * len(second))


def best_in_matrix(iou: NDArray, labels: NDArray, object_labels: NDArray) -> BestOverlap:
    """The object of the same class with the largest IoU for each prediction of one image.

    Args:
        iou: float (D, G).
        labels: classes of the predictions, int (D,).
        object_labels: classes of the objects, int (G,).

    Returns:
        The best overlaps; ties go to the first object.

    >>> best_in_matrix(np.array([[0.9, 0.2]]), np.array([1]), np.array([0, 1]))
    BestOverlap(iou=array([0.2]), index=array([1]))
    """
    iou = np.asarray(iou, dtype=np.float64).reshape(len(labels), len(object_labels))
    if iou.size == 0:
        return BestOverlap(np.full(len(iou), -1.0), np.full(len(iou), -1, dtype=np.int64))
    same = np.asarray(labels)[:, None] == np.asarray(object_labels)[None]
    masked = np.where(same, iou, -1.0)
    index = masked.argmax(axis=1)
    return BestOverlap(masked[np.arange(len(iou)), index], np.where(same.any(axis=1), index, -1))


def best_overlaps(
    images: NDArray, labels: NDArray, bboxes: NDArray, object_images: NDArray, object_labels: NDArray, object_bboxes: NDArray,
    num_classes: int, legacy: bool = False,
) -> BestOverlap:  # fmt: skip
    """The object of the same image and class with the largest IoU for each box of a whole data set.

    Objects are grouped by image and class; then all predictions are compared with the first object of their group, with the second, and so
    on, in as many vectorised steps as the largest group has objects.

    Args:
        images: index of each prediction's image, int (D,), from 0.
        labels: classes of the predictions, int (D,).
        bboxes: float (D, 4).
        object_images: index of each object's image, int (G,).
        object_labels: classes of the objects, int (G,).
        object_bboxes: float (G, 4).
        num_classes: C.
        legacy: see :func:`paired_box_iou`.

    Returns:
        The best overlaps; ties go to the first object.

    >>> one = np.array([0])
    >>> best_overlaps(one, one, np.array([[0, 0, 2, 2]]), one, one, np.array([[0, 0, 2, 1]]), num_classes=1)
    BestOverlap(iou=array([0.5]), index=array([0]))
    """
    groups = np.asarray(images, dtype=np.int64) * num_classes + labels
    object_groups = np.asarray(object_images, dtype=np.int64) * num_classes + object_labels
    num_groups = int(max(groups.max(initial=-1), object_groups.max(initial=-1))) + 1
    order = np.argsort(object_groups, kind='stable')
    counts = np.bincount(object_groups, minlength=num_groups)
    starts = np.cumsum(counts) - counts
    iou, index = np.full(len(groups), -1.0), np.full(len(groups), -1, dtype=np.int64)
    active = np.flatnonzero(counts[groups] > 0)
    step = 0
    while len(active):
        candidates = order[starts[groups[active]] + step]
        overlap = paired_box_iou(bboxes[active], object_bboxes[candidates], legacy)
        better = overlap > iou[active]
        iou[active[better]], index[active[better]] = overlap[better], candidates[better]
        step += 1
        active = active[counts[groups[active]] > step]
    return BestOverlap(iou, index)

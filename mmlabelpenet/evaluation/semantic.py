"""Semantic segmentation from instances, and its mean IoU.

Shapes: n instances, C classes, (h, w) image. Maps: uint8 (h, w), 0 background, 1 + k for class k, 255 void.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .localisation import shares

VOID = 255


def semantic_map(masks: NDArray, scores: NDArray, labels: NDArray, size: tuple[int, int], score_thr: float = 0.3) -> NDArray[np.uint8]:
    """Give each pixel the class of the best-scored instance that covers it; background where there is none.

    Args:
        masks: bool (n, h, w).
        scores: float (n,); of equal ones the first instance wins.
        labels: int (n,), below 254.
        size: (h, w).
        score_thr: only instances with at least this score are painted.

    Returns:
        uint8 (h, w).

    Raises:
        ValueError: masks of another size.

    >>> masks = np.array([[[True, True, False]], [[False, True, False]]])
    >>> semantic_map(masks, np.array([0.5, 0.9]), np.array([0, 4]), (1, 3)).tolist()
    [[1, 5, 0]]
    """
    masks = np.asarray(masks, dtype=bool)
    return paint(masks.__getitem__, scores, labels, size, score_thr)


def paint(
    mask_of: Callable[[int], NDArray[np.bool_]], scores: NDArray, labels: NDArray, size: tuple[int, int], score_thr: float
) -> NDArray[np.uint8]:
    """As :func:`semantic_map`, with masks that are asked for one by one, so that only one needs to be in memory.

    Args:
        mask_of: gives the mask of an instance by its number, bool (h, w); called for instances that are painted.
        scores: float (n,).
        labels: int (n,).
        size: (h, w).
        score_thr: only instances with at least this score are painted.

    Returns:
        uint8 (h, w).

    Raises:
        ValueError: a mask of another size.

    >>> paint(lambda number: np.array([[True, number == 1]]), np.array([0.5, 0.4]), np.array([0, 1]), (1, 2), 0.3).tolist()
    [[1, 2]]
    """
    scores = np.asarray(scores)
    result = np.zeros(size, dtype=np.uint8)
    for index in np.argsort(-scores, kind='stable')[::-1]:
        if scores[index] >= score_thr:
            mask = mask_of(int(index))
            if mask.shape != tuple(size):
                raise ValueError(f'Masks need the size {tuple(size)} of their image, got {mask.shape}. Predict at original image size.')
            result[mask] = labels[index] + 1
    return result


def confusion_matrix(predicted: NDArray, truth: NDArray, num_classes: int) -> NDArray[np.int64]:
    """Count pixels of one image by true and predicted value; void pixels of the truth are left out.

    Args:
        predicted: uint8 (h, w), values 0..C.
        truth: uint8 (h, w), values 0..C or 255.
        num_classes: C, background not counted.

    Returns:
        int64 (C + 1, C + 1), rows truth, columns prediction. Matrices of images add up.

    Raises:
        ValueError: sizes differ, or a value is out of range.

    >>> confusion_matrix(np.array([[0, 1, 1]]), np.array([[0, 1, 255]]), num_classes=1).tolist()
    [[1, 0], [0, 1]]
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape:
        raise ValueError(f'Predicted and true class maps need one size, got {predicted.shape} and {truth.shape}.')
    known = truth != VOID
    rows, columns = truth[known].astype(np.int64), predicted[known].astype(np.int64)
    highest = max(rows.max(initial=0), columns.max(initial=0))
    if highest > num_classes:
        raise ValueError(f'Class maps need values 0..{num_classes} (or 255, void, in the truth), got {highest}.')
    counts = np.bincount(rows * (num_classes + 1) + columns, minlength=(num_classes + 1) ** 2)
    return counts.reshape(num_classes + 1, num_classes + 1)


def class_ious(confusion: NDArray) -> NDArray[np.float64]:
    """IoU of background and each class over all pixels that were counted.

    Args:
        confusion: int (C + 1, C + 1), see :func:`confusion_matrix`.

    Returns:
        float64 (C + 1,); nan for a class that the truth never shows. ``np.nanmean`` of it is mIoU.

    >>> class_ious(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).tolist()
    [0.75, 0.8, nan]
    """
    confusion = np.asarray(confusion)
    shared, truth = np.diag(confusion), confusion.sum(axis=1)
    return np.where(truth > 0, shares(shared, truth + confusion.sum(axis=0) - shared), np.nan)

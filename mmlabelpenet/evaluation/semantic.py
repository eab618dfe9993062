"""Semantic segmentation from instances, and its mean IoU.

Shapes: n instances, C classes, (h, w) image. Maps: (h, w), 0 background, 1 + k for class k, void; uint8 where void is 255, uint16 where it
is 65535 (more than 254 classes).
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from .devkit import VOID, void_of
from .localisation import shares

__all__ = ['VOID', 'add_confusions', 'class_ious', 'confusion', 'confusion_matrix', 'paint', 'semantic_map']

Confusion = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Pairs of true and predicted values in an image, as ``true * (C + 1) + predicted``, and their pixel counts."""


def semantic_map(
    masks: NDArray, scores: NDArray, labels: NDArray, size: tuple[int, int], score_thr: float = 0.3
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Assign each pixel the class of the highest-scoring instance that covers it, or background.

    Args:
        masks: bool (n, h, w).
        scores: float (n,); ties go to the first instance.
        labels: int (n,).
        size: (h, w).
        score_thr: minimum score of an instance.

    Returns:
        uint8 (h, w), uint16 if a label is above 253.

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
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Like :func:`semantic_map`, with masks requested one by one, so that only one is in memory.

    Args:
        mask_of: returns the mask of an instance by index, bool (h, w); called only for drawn instances.
        scores, labels, size, score_thr: as in :func:`semantic_map`.

    >>> paint(lambda number: np.array([[True, number == 1]]), np.array([0.5, 0.4]), np.array([0, 1]), (1, 2), 0.3).tolist()
    [[1, 2]]
    """
    scores, labels = np.asarray(scores), np.asarray(labels, dtype=np.int64)
    result = np.zeros(size, void_of(int(np.max(labels, initial=-1)) + 1).dtype)
    for index in np.argsort(-scores, kind='stable')[::-1]:
        if scores[index] >= score_thr:
            mask = mask_of(int(index))
            if mask.shape != tuple(size):
                raise ValueError(
                    f'Masks must have the size {tuple(size)} of their image, got {mask.shape}. Predict at the original image size.'
                )
            result[mask] = labels[index] + 1
    return result


def confusion(predicted: NDArray, truth: NDArray, num_classes: int) -> Confusion:
    """Count pixels of one image by true and predicted value, without void pixels.

    Args:
        predicted: (h, w), values 0..C.
        truth: (h, w), values 0..C or void.
        num_classes: C, background not counted.

    Returns:
        The occurring pairs and their counts; a matrix with many classes would take megabytes per image.

    Raises:
        ValueError: sizes differ, or a value is out of range.

    >>> pairs, counts = confusion(np.array([[0, 1, 1]]), np.array([[0, 1, 255]]), num_classes=1)
    >>> pairs.tolist(), counts.tolist()
    ([0, 3], [1, 1])
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape:
        raise ValueError(f'Predicted and true semantic maps must have the same size, got {predicted.shape} and {truth.shape}.')
    void = int(void_of(num_classes))
    known = truth != void
    rows, columns = truth[known].astype(np.int64), predicted[known].astype(np.int64)
    highest = max(rows.max(initial=0), columns.max(initial=0))
    if highest > num_classes:
        raise ValueError(f'Semantic maps must have values 0..{num_classes} (or {void}, void, in the ground truth), got {highest}.')
    return np.unique(rows * (num_classes + 1) + columns, return_counts=True)


def add_confusions(confusions: Iterable[Confusion], num_classes: int) -> NDArray[np.int64]:
    """The counts of all images, int64 (C + 1, C + 1), rows truth, columns prediction.

    >>> add_confusions([(np.array([0, 3]), np.array([5, 1])), (np.array([3]), np.array([2]))], num_classes=1).tolist()
    [[5, 0], [0, 3]]
    """
    total = np.zeros((num_classes + 1) ** 2, np.int64)
    for pairs, counts in confusions:
        total[pairs] += counts
    return total.reshape(num_classes + 1, num_classes + 1)


def confusion_matrix(predicted: NDArray, truth: NDArray, num_classes: int) -> NDArray[np.int64]:
    """:func:`confusion` of one image as a matrix, int64 (C + 1, C + 1). Matrices of images can be summed.

    >>> confusion_matrix(np.array([[0, 1, 1]]), np.array([[0, 1, 255]]), num_classes=1).tolist()
    [[1, 0], [0, 1]]
    """
    return add_confusions([confusion(predicted, truth, num_classes)], num_classes)


def class_ious(confusion: NDArray) -> NDArray[np.float64]:
    """IoU of background and each class over all counted pixels.

    Args:
        confusion: int (C + 1, C + 1), see :func:`confusion_matrix`.

    Returns:
        float64 (C + 1,); nan for a class absent from the ground truth. ``np.nanmean`` of it is mIoU.

    >>> class_ious(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).tolist()
    [0.75, 0.8, nan]
    """
    confusion = np.asarray(confusion)
    shared, truth = np.diag(confusion), confusion.sum(axis=1)
    return np.where(truth > 0, shares(shared, truth + confusion.sum(axis=0) - shared), np.nan)

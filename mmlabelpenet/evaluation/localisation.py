"""Localisation metrics for given classes: CorLoc, average best overlap, recall of proposals.

Shapes: D predictions and G objects, C classes. Values are fractions; counts are returned separately so that images can be accumulated.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def corloc_counts(
    images: NDArray, labels: NDArray, scores: NDArray, best_iou: NDArray, object_images: NDArray, object_labels: NDArray,
    object_difficult: NDArray, num_classes: int, iou_thr: float = 0.5, skip_difficult_only: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Count images whose class is localised correctly (CorLoc, Deselaers et al. 2012).

    For each class that an image shows, its highest-scored box of that class (the first of equal ones) is correct if its IoU with
    some object of the class, difficult or not, is >= the threshold. An image without a box of the class is not correct.

    Args:
        images: index of each prediction's image, int (D,), from 0.
        labels: classes of the predictions, int (D,).
        scores: float (D,).
        best_iou: IoU with the best object of the same image and class, float (D,) (:func:`~.overlaps.best_overlaps`).
        object_images: index of each object's image, int (G,).
        object_labels: classes of the objects, int (G,).
        object_difficult: bool (G,).
        num_classes: C.
        iou_thr: the threshold.
        skip_difficult_only: exclude images whose objects of the class are all difficult; otherwise they count as well.

    Returns:
        Numbers of correct and of all images of each class, int64 (C,) each.

    >>> zero, one = np.array([0]), np.array([1])
    >>> corloc_counts(zero, one, np.array([0.3]), np.array([0.7]), zero, one, np.array([False]), num_classes=2)
    (array([0, 1]), array([0, 1]))
    """
    groups = np.asarray(images, dtype=np.int64) * num_classes + labels
    object_groups = np.asarray(object_images, dtype=np.int64) * num_classes + object_labels
    if skip_difficult_only:
        object_groups = object_groups[~np.asarray(object_difficult, dtype=bool)]
    shown = np.unique(object_groups)
    order = np.lexsort((-np.asarray(scores), groups))
    predicted, first = np.unique(groups[order], return_index=True)
    correct = predicted[np.asarray(best_iou)[order[first]] >= iou_thr]
    correct = correct[np.isin(correct, shown, assume_unique=True)]
    return (
        np.bincount(correct % num_classes, minlength=num_classes),
        np.bincount(shown % num_classes, minlength=num_classes),
    )


def shares(counts: NDArray, totals: NDArray) -> NDArray[np.float64]:
    """Counts divided by totals; nan if the total is 0.

    >>> shares(np.array([1, 0]), np.array([2, 0])).tolist()
    [0.5, nan]
    """
    counts, totals = np.asarray(counts), np.asarray(totals)
    return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def best_per_object(iou: NDArray, labels: NDArray | None = None, object_labels: NDArray | None = None) -> NDArray[np.float64]:
    """Best IoU of each object of one image.

    Args:
        iou: float (D, G).
        labels: classes of the predictions, int (D,). Without labels, every prediction is compared with every object (class-agnostic).
        object_labels: classes of the objects, int (G,).

    Returns:
        float64 (G,); 0 for objects without predictions.

    >>> iou = np.array([[0.5, 0.9]])
    >>> best_per_object(iou).tolist(), best_per_object(iou, np.array([0]), np.array([0, 1])).tolist()
    ([0.5, 0.9], [0.5, 0.0])
    """
    iou = np.asarray(iou)
    if labels is not None:
        iou = np.where(np.asarray(labels)[:, None] == np.asarray(object_labels)[None], iou, 0.0)
    return iou.max(axis=0, initial=0.0)


def mean_per_class(values: NDArray, labels: NDArray, num_classes: int, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Mean of values per class; for the best overlaps of objects, this is the average best overlap (ABO).

    Args:
        values: float (G,).
        labels: int (G,).
        num_classes: C.
        weights: float (G,), 1 by default.

    Returns:
        float64 (C,); nan for a class without (weighted) values. ``np.nanmean`` of it is the mean over classes.

    >>> mean_per_class(np.array([0.2, 0.6]), np.array([0, 0]), num_classes=2).tolist()
    [0.4, nan]
    """
    weights = np.ones(len(values)) if weights is None else np.asarray(weights)
    labels = np.asarray(labels, dtype=np.int64)
    totals = np.bincount(labels, weights=np.asarray(values) * weights, minlength=num_classes)
    return shares(totals, np.bincount(labels, weights=weights, minlength=num_classes))


def proposal_quality(best_iou: NDArray, labels: NDArray, num_classes: int, iou_thrs: Sequence[float] = (0.5, 0.7)) -> dict[str, float]:
    """Recall and overlap of class-agnostic proposals.

    Args:
        best_iou: the best IoU of each object, float (G,) (:func:`best_per_object` without labels, images concatenated).
        labels: classes of the objects, int (G,).
        num_classes: C.
        iou_thrs: thresholds of recall.

    Returns:
        ``recall_50``, ``recall_70``, ... (fraction of objects with IoU >= threshold), ``average_best_overlap`` (mean over objects)
        and ``mean_average_best_overlap`` (mean over classes of the class means, MABO); nan if there are no objects.

    >>> proposal_quality(np.array([0.5, 1.0]), np.array([0, 0]), num_classes=1)['recall_70']
    0.5
    """
    best_iou = np.asarray(best_iou, dtype=np.float64)
    means = mean_per_class(best_iou, labels, num_classes)
    result = {f'recall_{100 * thr:g}': float(np.mean(best_iou >= thr)) if len(best_iou) else float('nan') for thr in iou_thrs}
    result['average_best_overlap'] = float(best_iou.mean()) if len(best_iou) else float('nan')
    result['mean_average_best_overlap'] = float(np.nanmean(means)) if len(best_iou) else float('nan')
    return result

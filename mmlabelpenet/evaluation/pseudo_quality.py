"""Quality of pseudo instances, compared with ground truth if available.

Shapes: K pseudo instances and G objects of all images, C classes. Values are fractions.
"""

import numpy as np
from numpy.typing import NDArray

from .localisation import mean_per_class, shares
from .matching import match_voc
from .overlaps import BestOverlap


def pseudo_label_quality(
    labels: NDArray, weights: NDArray, best: BestOverlap, object_labels: NDArray, object_difficult: NDArray, num_classes: int,
    best_mask_iou: NDArray | None = None, iou_thr: float = 0.5,
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """Precision, recall and mean overlaps of pseudo instances, per class, weighted and unweighted.

    Pseudo instances are matched by :func:`~.matching.match_voc` with the weights as scores: duplicates are false positives, instances on
    difficult objects are excluded from precision and overlaps; recall is the fraction of the other objects that are found.

    Args:
        labels: int (K,).
        weights: loss weights, float (K,).
        best: best overlaps of the boxes with objects of the same image and class.
        object_labels: int (G,).
        object_difficult: bool (G,).
        num_classes: C.
        best_mask_iou: best IoU of each mask with the masks of its image and class, float (K,); nan if an instance or its image has no mask;
            such instances are excluded.
        iou_thr: minimum IoU of a correct instance.

    Returns:
        ``precision``, ``precision_weighted``, ``recall``, ``box_iou``, ``box_iou_weighted``, ``mask_iou``, ``mask_iou_weighted``
        (the last two only with ``best_mask_iou``), float64 (C,) each; nan for classes for which it is undefined.

    >>> best = BestOverlap(np.array([0.8, 0.4]), np.array([0, 0]))
    >>> quality = pseudo_label_quality(np.array([0, 0]), np.array([0.9, 0.1]), best, np.array([0]), np.array([False]), num_classes=1)
    >>> [float(quality[name][0]) for name in ('precision', 'precision_weighted', 'recall')]
    [0.5, 0.9, 1.0]
    """
    labels, weights = np.asarray(labels, dtype=np.int64), np.asarray(weights, dtype=np.float64)
    object_difficult = np.asarray(object_difficult, dtype=bool)
    matches = match_voc(best, weights, object_difficult, iou_thr)
    wanted = np.bincount(np.asarray(object_labels, dtype=np.int64)[~object_difficult], minlength=num_classes)
    overlaps = {'precision': matches.right.astype(np.float64), 'box_iou': np.maximum(best.iou, 0.0)}
    if best_mask_iou is not None:
        overlaps['mask_iou'] = np.maximum(np.asarray(best_mask_iou, dtype=np.float64), 0.0)
    result = {'recall': shares(np.bincount(labels[matches.right], minlength=num_classes), wanted)}
    for name, values in overlaps.items():
        kept = ~matches.ignored & ~np.isnan(values)
        result[name] = mean_per_class(values[kept], labels[kept], num_classes)
        result[f'{name}_weighted'] = mean_per_class(values[kept], labels[kept], num_classes, weights[kept])
    return result

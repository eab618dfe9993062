"""Match predictions with objects by the rules of the VOC devkit and of COCO.

Shapes: D predictions and G objects; T IoU thresholds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .overlaps import BestOverlap


class Matches(NamedTuple):
    """``right`` bool (D,): true positives. ``ignored`` bool (D,): neither true nor false positives. The others are false positives."""

    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


def match_voc(best: BestOverlap, scores: NDArray, difficult: NDArray, iou_thr: float) -> Matches:
    """Match predictions like the VOC devkit (``VOCevaldet.m``).

    By descending score (equal ones in input order), each prediction is compared only with its best-overlapping object of the same image and
    class. With IoU >= threshold (the devkit's ``ovmax >= minoverlap``) the prediction is ignored if that object is difficult, a true
    positive if the object is still free, and a false positive (a duplicate) if it is taken, even if another object overlaps enough. Since
    an object belongs to one image and class, all images and classes can be matched together.

    Args:
        best: the best overlaps of the D predictions.
        scores: float (D,).
        difficult: bool (G,).
        iou_thr: the threshold.

    Returns:
        The status of each prediction.

    >>> best = BestOverlap(np.array([0.6, 0.9, 0.7]), np.array([0, 0, 1]))
    >>> match_voc(best, np.array([0.8, 0.5, 0.2]), np.array([False, True]), 0.5)
    Matches(right=array([ True, False, False]), ignored=array([False, False,  True]))
    """
    difficult = np.asarray(difficult, dtype=bool)
    hits = np.flatnonzero((best.index >= 0) & (best.iou >= iou_thr))
    right, ignored = np.zeros(len(best.iou), dtype=bool), np.zeros(len(best.iou), dtype=bool)
    on_difficult = difficult[best.index[hits]]
    ignored[hits[on_difficult]] = True
    rivals = hits[~on_difficult]
    rivals = rivals[np.argsort(-np.asarray(scores)[rivals], kind='stable')]
    _, winners = np.unique(best.index[rivals], return_index=True)  # the first, that is the highest-scoring, of each object
    right[rivals[winners]] = True
    return Matches(right, ignored)


def match_coco(iou: NDArray, labels: NDArray, scores: NDArray, object_labels: NDArray, iou_thrs: Sequence[float]) -> NDArray[np.bool_]:
    """Match the predictions of one image like COCO (``pycocotools.cocoeval``), without crowds and area ranges.

    By descending score each prediction takes the free object of its class with the largest IoU (the last of equal ones), if the IoU is >=
    the threshold.

    Args:
        iou: float (D, G).
        labels: int (D,).
        scores: float (D,).
        object_labels: int (G,).
        iou_thrs: T thresholds.

    Returns:
        True positives, bool (T, D).

    >>> iou = np.array([[0.9, 0.6], [0.8, 0.3], [0.7, 0.6]])
    >>> match_coco(iou, np.zeros(3), np.array([0.9, 0.8, 0.7]), np.zeros(2), [0.5]).tolist()
    [[True, False, True]]
    """
    same = np.asarray(labels)[:, None] == np.asarray(object_labels)[None]
    iou = np.where(same, np.asarray(iou, dtype=np.float64).reshape(same.shape), -1.0)
    right = np.zeros((len(iou_thrs), len(iou)), dtype=bool)
    if iou.size == 0:
        return right
    best, order = iou.max(axis=1), np.argsort(-np.asarray(scores), kind='stable')
    for row, iou_thr in enumerate(iou_thrs):
        limit = min(iou_thr, 1 - 1e-10)  # as in pycocotools, so that IoU 1 is reached despite rounding
        free = iou.copy()
        for index in order[(best >= limit)[order]]:
            taken = iou.shape[1] - 1 - int(free[index, ::-1].argmax())
            if free[index, taken] >= limit:
                right[row, index] = True
                free[:, taken] = -1.0
    return right

"""Average precision from matched predictions: 11-point, area, COCO's 101 points.

Shapes: D predictions of all images, G objects, C classes, T IoU thresholds. All values are fractions; nan means "undefined".
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .matching import match_voc
from .overlaps import best_overlaps

MODES = ('11point', 'area', 'coco101')

# The floats k * 0.1 of the devkit's loop as py-faster-rcnn and mmdet write it. Three of them are slightly above the decimal number, so a
# recall of exactly 3/10 does not reach the fourth point; this known behaviour is kept for identical results.
_ELEVEN = np.arange(0.0, 1.05, 0.1)
_HUNDRED_ONE = np.linspace(0.0, 1.0, 101)


class Detections(NamedTuple):
    """Predicted boxes of a data set: ``images`` int (D,), ``labels`` int (D,), ``scores`` float (D,), ``bboxes`` float (D, 4)."""

    images: NDArray
    labels: NDArray
    scores: NDArray
    bboxes: NDArray


class Objects(NamedTuple):
    """Annotated boxes of a data set: ``images`` int (G,), ``labels`` int (G,), ``bboxes`` float (G, 4), ``difficult`` bool (G,)."""

    images: NDArray
    labels: NDArray
    bboxes: NDArray
    difficult: NDArray


def average_precision(right: NDArray, num_objects: int, mode: str = 'area') -> float:
    """Average precision of one class.

    Between true positives, recall is constant and precision decreases, so only the ranks of the true positives matter.

    Args:
        right: whether each prediction, by descending score and without ignored ones, is a true positive, bool (D,).
        num_objects: number of objects.
        mode: 'area' (under the monotone curve, VOC 2010 on), '11point' (VOC 2007) or 'coco101' (COCO's 101 points).

    Returns:
        A fraction, or nan if there is no object.

    Raises:
        ValueError: unknown mode.

    >>> average_precision(np.array([True, False, True]), 2)
    0.8333333333333333
    """
    if mode not in MODES:
        raise ValueError(f'The mode of average precision must be one of {MODES}, got {mode!r}.')
    if num_objects == 0:
        return float('nan')
    ranks = np.flatnonzero(right) + 1
    found = np.arange(1, len(ranks) + 1)
    recall, precision = found / num_objects, found / ranks
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if mode == 'area':
        return float(np.sum(envelope) / num_objects)
    points = _ELEVEN if mode == '11point' else _HUNDRED_ONE
    reached = np.searchsorted(recall, points)
    return float(np.sum(envelope[reached[reached < len(envelope)]]) / len(points))


def average_precisions(
    labels: NDArray, scores: NDArray, right: NDArray, ignored: NDArray, num_objects: NDArray, modes: Sequence[str] = ('area',)
) -> dict[str, NDArray[np.float64]]:
    """Average precision of each class at one or more IoU thresholds.

    Args:
        labels: int (D,).
        scores: float (D,); equal ones keep their order.
        right: true positives, bool (T, D).
        ignored: neither true nor false positives, bool (T, D).
        num_objects: objects of each class, int (C,).
        modes: see :func:`average_precision`.

    Returns:
        mode -> float64 (T, C).

    >>> hit, no = np.array([[True]]), np.array([[False]])
    >>> average_precisions(np.array([0]), np.array([0.9]), hit, no, np.array([1, 0]))['area'].tolist()
    [[1.0, nan]]
    """
    result = {mode: np.full((len(right), len(num_objects)), np.nan) for mode in modes}
    labels, scores = np.asarray(labels), np.asarray(scores)
    for label in np.flatnonzero(num_objects):
        members = np.flatnonzero(labels == label)
        members = members[np.argsort(-scores[members], kind='stable')]
        for row in range(len(right)):
            counted = members[~ignored[row, members]]
            for mode in modes:
                result[mode][row, label] = average_precision(right[row, counted], int(num_objects[label]), mode)
    return result


def box_average_precisions(
    detections: Detections, objects: Objects, num_classes: int, iou_thrs: Sequence[float] = (0.5,),
    modes: Sequence[str] = ('area',), legacy: bool = False,
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """VOC box AP of each class over a whole data set.

    Difficult objects do not count; a detection whose best-overlapping object is difficult is ignored (see :func:`match_voc`).

    Args:
        detections: all detections; equal scores keep this order.
        objects: all objects.
        num_classes: C.
        iou_thrs: T thresholds.
        modes: 'area', '11point'.
        legacy: boxes include their last pixel ("+1" widths).

    Returns:
        mode -> float64 (T, C); nan for a class without objects (or with only difficult ones).

    Raises:
        ValueError: a score is NaN, or a label is not a class.

    >>> box = np.array([[0, 0, 4, 4]])
    >>> found, wanted = Detections(np.array([0]), np.array([0]), np.array([0.9]), box), Objects([0], [0], box, [False])
    >>> box_average_precisions(found, wanted, num_classes=1)['area'].tolist()
    [[1.0]]
    """
    detections, objects = _checked(detections, objects, num_classes)
    best = best_overlaps(*detections[:2], detections.bboxes, *objects[:3], num_classes=num_classes, legacy=legacy)
    matches = [match_voc(best, detections.scores, objects.difficult, iou_thr) for iou_thr in iou_thrs]
    right, ignored = np.stack([match.right for match in matches]), np.stack([match.ignored for match in matches])
    num_objects = np.bincount(objects.labels[~objects.difficult], minlength=num_classes)
    return average_precisions(detections.labels, detections.scores, right, ignored, num_objects, modes)


def _checked(detections: Detections, objects: Objects, num_classes: int) -> tuple[Detections, Objects]:
    images, labels, scores, bboxes = detections
    found = Detections(np.asarray(images, dtype=np.int64), np.asarray(labels, dtype=np.int64), np.asarray(scores), np.asarray(bboxes))
    images, labels, bboxes, difficult = objects
    wanted = Objects(
        np.asarray(images, dtype=np.int64), np.asarray(labels, dtype=np.int64), np.asarray(bboxes), np.asarray(difficult, dtype=bool)
    )
    if np.isnan(found.scores).any():
        raise ValueError(f'Scores must not be NaN, got NaN at detection {int(np.isnan(found.scores).argmax())}.')
    for name, values in (('detections', found.labels), ('objects', wanted.labels)):
        if len(values) and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(f'Labels of {name} must be in 0..{num_classes - 1}, got {values.min()}..{values.max()}.')
    return found, wanted

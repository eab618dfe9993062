"""Confusion of predicted and annotated classes.

Shapes: C classes, D detections and G objects of an image. Boxes: xyxy in pixels, 0-based and half-open.
"""

import numpy as np
from numpy.typing import NDArray

from .overlaps import box_iou
from .scoring import Prediction, Truth


def confusion(prediction: Prediction, truth: Truth, num_classes: int, score_thr: float = 0.3, iou_thr: float = 0.5) -> NDArray[np.int64]:
    """Confusion counts of one image: by descending score, each detection takes the free object of any class with the largest overlap.

    Args:
        prediction: predictions of one image.
        truth: its ground truth; difficult objects count as objects.
        num_classes: C.
        score_thr: minimum score of a detection.
        iou_thr: minimum IoU of boxes.

    Returns:
        int64 (C + 1, C + 1): annotated class by predicted class. The last row counts detections without an object, the last column objects
            without a detection.

    >>> found = Prediction(np.array([[0.0, 0, 4, 4]]), np.array([0.9]), np.array([1]))
    >>> there = Truth(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([False]))
    >>> confusion(found, there, 2).tolist()
    [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    """
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    order = np.argsort(-prediction.scores, kind='stable')
    order = order[prediction.scores[order] >= score_thr]
    overlaps = box_iou(prediction.bboxes[order], truth.bboxes) if len(truth.bboxes) else np.zeros((len(order), 0))
    free = np.ones(len(truth.bboxes), bool)
    for label, row in zip(prediction.labels[order], overlaps, strict=True):
        best = int(np.where(free, row, -1).argmax()) if free.any() else -1
        if best >= 0 and row[best] >= iou_thr:
            counts[truth.labels[best], label] += 1
            free[best] = False
        else:
            counts[-1, label] += 1
    np.add.at(counts[:, -1], truth.labels[free], 1)
    return counts

"""Compare pseudo instances of one image with each other and with its annotations, for display.

Shapes: K instances, G objects of one image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.evaluation.functional import box_iou, encode_masks, mask_iou

RIGHT = 0.5  # minimum IoU of a box with the object that it covers


@dataclass(frozen=True)
class Comparison:
    """Instances of one image compared with its objects.

    Attributes:
        box_iou: IoU of each instance with the best object of its class, float (K,).
        mask_iou: IoU with the best mask of its class, float (K,); nan if there is no mask to compare.
        lies_on: class of the object with the largest IoU, int (K,); -1 if no IoU reaches 0.5.
        missed: classes of the objects without a matching instance.
    """

    box_iou: NDArray[np.float64]
    mask_iou: NDArray[np.float64]
    lies_on: NDArray[np.int64]
    missed: list[int]

    @property
    def score(self) -> float:
        """Score of the image: mean box IoU, with 0 for missed objects; nan without objects and instances."""
        values = [*self.box_iou, *([0.0] * len(self.missed))]
        return float(np.mean(values)) if values else float('nan')


def compare(instances: Sequence[Mapping], devkit: Devkit, img_id: str) -> Comparison:
    """Compare instances of a store with the annotations of their image; difficult objects may be found but need not be."""
    objects, truth = devkit.objects(img_id), devkit.instance_masks(img_id)
    labels = np.array([instance['bbox_label'] for instance in instances], np.int64)
    bboxes = np.array([instance['bbox'] for instance in instances], np.float64).reshape(-1, 4)
    overlap = box_iou(bboxes, objects.bboxes)
    same = np.where(labels[:, None] == objects.labels[None], overlap, 0.0)
    masks = np.full(len(labels), np.nan)
    if truth is not None and len(labels) and len(truth.labels):
        codes = [instance['mask'] for instance in instances]
        fit = np.where(labels[:, None] == truth.labels[None], mask_iou(codes, encode_masks(truth.masks)), 0.0)
        drawn = coco_mask.area(codes) > 0
        masks[drawn] = fit.max(1)[drawn]
    covered = overlap.argmax(1) if overlap.size else np.zeros(len(labels), np.int64)
    best = overlap.max(1, initial=0)
    lies_on = np.array([objects.labels[k] if value >= RIGHT else -1 for k, value in zip(covered, best, strict=True)], np.int64)
    found = same.max(0, initial=0) >= RIGHT
    return Comparison(same.max(1, initial=0), masks, lies_on, objects.labels[~found & ~objects.difficult].tolist())


def disagreement(first: Sequence[Mapping], second: Sequence[Mapping]) -> float:
    """Disagreement of two stages on an image: 1 minus the mean IoU of each instance with the other stage's best instance of its class.

    Returns:
        0 for identical boxes (or none at all), 1 if nothing matches.

    >>> disagreement([dict(bbox=[0, 0, 2, 2], bbox_label=0)], [dict(bbox=[0, 0, 2, 1], bbox_label=0)])
    0.5
    """
    if not first and not second:
        return 0.0
    labels = [np.array([instance['bbox_label'] for instance in found], np.int64) for found in (first, second)]
    bboxes = [np.array([instance['bbox'] for instance in found], np.float64).reshape(-1, 4) for found in (first, second)]
    same = np.where(labels[0][:, None] == labels[1][None], box_iou(*bboxes), 0.0)
    return float(1 - np.concatenate([same.max(1, initial=0), same.max(0, initial=0)]).mean())


def confusions(comparisons: Sequence[tuple[Sequence[int], Comparison]], num_classes: int) -> NDArray[np.int64]:
    """Confusion matrix of instances and objects.

    Args:
        comparisons: labels of an image's instances, and their comparison.

    Returns:
        int (C + 1, C + 1): row k: instances of class k, last row: missed objects; column k: objects of class k, last column: no object.
    """
    table = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for labels, found in comparisons:
        for label, column in zip(labels, found.lies_on, strict=True):
            table[label, column] += 1  # -1 is the last column
        for label in found.missed:
            table[-1, label] += 1
    return table

"""Where multiple-instance learning looks: the weight that its proposals have in an image, against the objects that are there.

It needs annotated boxes, so it measures and never trains.

Shapes: R proposals of one image, G objects of one class in it, (h, w) image. Boxes: float xyxy in original pixels, half-open.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.evaluation.functional import box_iou, mean_per_class

KEYS = ('chosen_area', 'mass_on_object', 'uniform_on_object', 'entropy', 'chosen_iou', 'CorLoc_50')


def painted(bboxes: NDArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of any box, bool (h, w), where there are no masks.

    >>> painted(np.array([[0.0, 0, 1, 2]]), (2, 2)).tolist()
    [[True, False], [True, False]]
    """
    pixels = np.zeros(size, bool)
    for left, top, right, bottom in np.asarray(bboxes).round().astype(int):
        pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return pixels


def pixel_shares(bboxes: NDArray, pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each box's pixels that belong to an object, float64 (R,); a box takes at least one pixel.

    >>> pixel_shares(np.array([[0.0, 0, 2, 1], [1, 0, 2, 1]]), np.array([[True, False]])).tolist()
    [0.5, 0.0]
    """
    h, w = pixels.shape
    sums = np.zeros((h + 1, w + 1))
    sums[1:, 1:] = pixels.cumsum(0, dtype=np.float64).cumsum(1)
    left, top, right, bottom = np.asarray(bboxes, np.float64).reshape(-1, 4).round().astype(int).T
    left, top = left.clip(0, w - 1), top.clip(0, h - 1)
    right, bottom = np.maximum(right.clip(0, w), left + 1), np.maximum(bottom.clip(0, h), top + 1)
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return inside / ((right - left) * (bottom - top))


def tag_mass(
    proposals: NDArray, scores: NDArray, weights: NDArray, objects: NDArray, pixels: NDArray[np.bool_], iou_thr: float = 0.5
) -> dict[str, float]:
    """How one tag of one image is looked at.

    Args:
        proposals: float (R, 4), R > 0.
        scores: what ranks them for the class, float (R,).
        weights: the softmax of Eq. 1 for the class, float (R,), of sum 1.
        objects: annotated boxes of the class, float (G, 4), G > 0.
        pixels: of these objects, bool (h, w).
        iou_thr: from which the chosen box is right.

    Returns:
        ``chosen_area``, the best-scored box as a share of the image; ``mass_on_object``, the weight that lies on object pixels if each
        proposal spreads its own evenly over its box; ``uniform_on_object``, the same if all proposals weighed alike; ``entropy`` of
        the weights as a share of log R; ``chosen_iou`` of the best-scored box with its best object; ``CorLoc_50``, 1 if that is enough.
    """
    best, shares = int(np.argmax(scores)), pixel_shares(proposals, pixels)
    left, top, right, bottom = proposals[best]
    iou = float(box_iou(proposals[best : best + 1].astype(np.float64), objects.astype(np.float64)).max())
    weights = np.asarray(weights, np.float64)
    entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum() / np.log(len(weights)) if len(weights) > 1 else 1.0
    return dict(
        chosen_area=float((right - left) * (bottom - top) / pixels.size),
        mass_on_object=float(weights @ shares),
        uniform_on_object=float(shares.mean()),
        entropy=float(entropy),
        chosen_iou=iou,
        CorLoc_50=float(iou >= iou_thr),
    )


def summarise_mass(records: Sequence[Mapping[str, float]], labels: Sequence[int], num_classes: int) -> dict[str, float]:
    """Over all tags of all images: the median of areas, CorLoc as the mean over classes, the mean of all else; in percent.

    Args:
        records: of :func:`tag_mass`.
        labels: the class of each.

    Raises:
        ValueError: there is no record.

    >>> summarise_mass([dict.fromkeys(KEYS, 0.5), dict.fromkeys(KEYS, 1.0)], [0, 1], 2)['CorLoc_50']
    75.0
    """
    if not records:
        raise ValueError('No image of the list has a tag, a proposal and an object of the class, so that there is nothing to measure.')
    values = {key: np.array([record[key] for record in records]) for key in KEYS}
    found = {key: float(100 * value.mean()) for key, value in values.items()}
    found['chosen_area'] = float(100 * np.median(values['chosen_area']))
    found['CorLoc_50'] = float(100 * np.nanmean(mean_per_class(values['CorLoc_50'], np.asarray(labels), num_classes)))
    return found

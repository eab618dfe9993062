"""Derive instance masks from class masks and boxes, for images whose instance masks are not taken from the data set itself.

The void border of VOC's class masks separates most touching objects of the same class. So each connected component ("piece") of a class
belongs to one object, and pieces are assigned to boxes such that the boxes around the pieces of each object fit the annotated ones.

Shapes: B boxes and K pieces of one class, (h, w) image. Boxes: integers xyxy, 0-based and half-open.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mmlabelpenet.evaluation.devkit import VOID

_MARGIN = 3  # pixels of void around an object
_SMALL = 25  # pixels: a smaller piece belongs to its neighbour
_INSIDE = 0.85  # minimum fraction of a piece inside a box to which it may belong
_WHOLE = 100  # box area in pixels of a piece that is an object without an annotated box
_ROUNDS = 10

Box = tuple[int, int, int, int]
Owners = dict[int, int]  # piece -> box


class Pieces(NamedTuple):
    """Connected pieces of a mask: ``numbers`` int (h, w) from 1 on, their ``boxes``, their ``areas`` (K,), shares ``inside`` (K, B)."""

    numbers: NDArray
    boxes: list[Box]
    areas: NDArray
    inside: NDArray

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Pixel mask of a piece."""
        return self.numbers == index + 1


def instances_of(class_mask: NDArray[np.uint8], bboxes: NDArray, labels: NDArray) -> NDArray[np.uint8]:
    """Object index per pixel.

    Args:
        class_mask: uint8 (h, w), 0 background, 1 + k class k, 255 void.
        bboxes: boxes of the annotated objects, (G, 4).
        labels: labels of the annotated objects, (G,).

    Returns:
        uint8 (h, w): 0 background, k the k-th annotated object, larger values are pieces of classes without a box, 255 is void.
    """
    found, last = np.zeros(class_mask.shape, np.uint8), len(labels)
    for value in np.setdiff1d(np.unique(class_mask), [0, VOID]).tolist():
        own = np.flatnonzero(labels == value - 1)
        if len(own):
            assigned = assign_pieces(class_mask == value, [tuple(box) for box in bboxes[own].round().astype(int).tolist()])
            found += np.concatenate([[0], own + 1]).astype(np.uint8)[assigned]
            continue
        for piece, (x1, y1, x2, y2) in _numbered(class_mask == value):
            if (x2 - x1) * (y2 - y1) >= _WHOLE:
                last += 1
                found[piece] = last
    found[class_mask == VOID] = VOID
    return found


def assign_pieces(mask: NDArray[np.bool_], boxes: Sequence[Box]) -> NDArray[np.int64]:
    """Assign each pixel of a class to one of its boxes.

    Args:
        mask: mask of the class, bool (h, w).

    Returns:
        int (h, w): 0 outside the mask, 1 + the index of a box inside.
    """
    if len(boxes) == 1 or not mask.any():
        return mask.astype(np.int64)
    pieces = find_pieces(mask, boxes)
    spread = [k for k in range(len(pieces.areas)) if _lies_over_several(pieces, k)]
    large = [k for k in range(len(pieces.areas)) if pieces.areas[k] >= _SMALL and k not in spread]
    owners = _climb(_first_owners(large, pieces, boxes, mask.shape), pieces, boxes, mask.shape)
    found = np.zeros(mask.shape, np.int64)
    for piece, box in owners.items():
        found[pieces.mask(piece)] = 1 + box
    for piece in spread:
        y, x = np.nonzero(pieces.mask(piece))
        found[y, x] = 1 + _nearest_box(x, y, boxes)
    _assign_rest([k for k in range(len(pieces.areas)) if k not in owners and k not in spread], found, pieces)
    return found


def find_pieces(mask: NDArray[np.bool_], boxes: Sequence[Box]) -> Pieces:
    """Connected pieces of a mask (pixels that share a side), and how much of each lies in each box, widened by the void border."""
    numbers, count = ndimage.label(mask)
    slices = ndimage.find_objects(numbers)
    areas = ndimage.sum(mask, numbers, range(1, count + 1))
    inside = np.zeros((count, len(boxes)))
    for k, b in np.ndindex(inside.shape):
        x1, y1, x2, y2 = _grown(boxes[b], mask.shape)
        inside[k, b] = (numbers[y1:y2, x1:x2] == k + 1).sum() / areas[k]
    return Pieces(numbers, [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in slices], areas, inside)


def _candidates(pieces: Pieces, k: int) -> list[int]:
    """Boxes that a piece may belong to: those that contain it, else the one that contains most of it."""
    held = np.flatnonzero(pieces.inside[k] >= _INSIDE).tolist()
    return held or [int(pieces.inside[k].argmax())]


def _lies_over_several(pieces: Pieces, k: int) -> bool:
    """Whether a piece consists of touching objects: no box contains it, two contain a part of it."""
    most, second = np.sort(pieces.inside[k])[:-3:-1]
    return most < _INSIDE and second > 0.15 and pieces.areas[k] > _WHOLE


def _first_owners(large: list[int], pieces: Pieces, boxes: Sequence[Box], size: tuple[int, ...]) -> Owners:
    """Assign pieces with a single candidate first, then the others by descending size, each to the box it improves most; ties go to the
    smaller box.
    """
    by_area = sorted(large, key=lambda k: -pieces.areas[k])
    owners = {k: found[0] for k in by_area if len(found := _candidates(pieces, k)) == 1}
    for k in by_area:
        if k not in owners:
            gains = {
                b: _fit({**owners, k: b}, [b], pieces, boxes, size) - _fit(owners, [b], pieces, boxes, size) for b in _candidates(pieces, k)
            }
            owners[k] = max(gains, key=lambda b: (gains[b], -_area(boxes[b])))
    return owners


def _climb(owners: Owners, pieces: Pieces, boxes: Sequence[Box], size: tuple[int, ...]) -> Owners:
    """Move single pieces, then swap pairs, as long as the total fit improves."""
    open_ones = [k for k in owners if len(_candidates(pieces, k)) > 1]
    for _ in range(_ROUNDS):
        before = dict(owners)
        for k in sorted(open_ones, key=lambda k: -pieces.areas[k]):
            best, choice = _fit(owners, range(len(boxes)), pieces, boxes, size), owners[k]
            for b in _candidates(pieces, k):
                if (fit := _fit({**owners, k: b}, range(len(boxes)), pieces, boxes, size)) > best + 1e-6:
                    best, choice = fit, b
            owners[k] = choice
        for first, second in combinations(sorted(open_ones), 2):
            a, b = owners[first], owners[second]
            if a != b and b in _candidates(pieces, first) and a in _candidates(pieces, second):
                swapped = {**owners, first: b, second: a}
                if _fit(swapped, [a, b], pieces, boxes, size) > _fit(owners, [a, b], pieces, boxes, size) + 1e-6:
                    owners = swapped
        if owners == before:
            break
    return owners


def _fit(owners: Owners, chosen: Sequence[int], pieces: Pieces, boxes: Sequence[Box], size: tuple[int, ...]) -> float:
    """Sum over boxes of their IoU with the box around their pieces."""
    total = 0.0
    for b in chosen:
        own = np.array([pieces.boxes[k] for k, box in owners.items() if box == b])
        if len(own):
            total += _iou(_grown((*own[:, :2].min(0), *own[:, 2:].max(0)), size), boxes[b])
    return total


def _nearest_box(x: NDArray, y: NDArray, boxes: Sequence[Box]) -> NDArray[np.int64]:
    """For each pixel (n,), the box with the nearest centre, measured in box sides."""
    return np.stack(
        [
            np.maximum(np.abs(x - (b[0] + b[2]) / 2) / max(b[2] - b[0], 1), np.abs(y - (b[1] + b[3]) / 2) / max(b[3] - b[1], 1))
            for b in boxes
        ]
    ).argmin(0)


def _assign_rest(rest: list[int], found: NDArray, pieces: Pieces) -> None:
    """Assign small pieces to the object nearest to most of their pixels, if its box may contain them; in place."""
    if not found.any():
        for k in rest:
            found[pieces.mask(k)] = 1 + _candidates(pieces, k)[0]
        return
    rows, columns = ndimage.distance_transform_edt(found == 0, return_distances=False, return_indices=True)
    nearest = found[rows, columns]
    for k in rest:
        votes = np.bincount(nearest[pieces.mask(k)], minlength=pieces.inside.shape[1] + 1)[1:] + 1e-3
        allowed = np.full(len(votes), 1e-3)
        allowed[_candidates(pieces, k)] = 1
        found[pieces.mask(k)] = 1 + int((votes * allowed).argmax())


def _numbered(mask: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], Box]]:
    pieces = find_pieces(mask, [])
    return [(pieces.mask(k), box) for k, box in enumerate(pieces.boxes)]


def _grown(box: Sequence[int], size: tuple[int, ...]) -> Box:
    x1, y1, x2, y2 = (int(side) for side in box)
    return max(x1 - _MARGIN, 0), max(y1 - _MARGIN, 0), min(x2 + _MARGIN, size[1]), min(y2 + _MARGIN, size[0])


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _iou(a: Box, b: Box) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / (_area(a) + _area(b) - both)

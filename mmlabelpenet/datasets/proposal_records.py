"""Proposals of one image: boxes with scores, checked and in an order of their own.

Shapes: R proposals. Boxes: float32 xyxy in original pixels, half-open.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ProposalRecord:
    """Proposals of one image: its name, its (h, w), ``bboxes`` float32 (R, 4), ``scores`` float32 (R,).

    ``sha256`` is that of the image's file, hexadecimal, of which the first 16 digits are kept; empty if it is not known.
    """

    image_id: str
    size: tuple[int, int]
    bboxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    sha256: str = ''


def canonical_order(bboxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """An order, int64 (R,), that depends on the proposals alone, not on how they came.

    By falling score; where scores are equal by a fixed scrambling of the coordinates, so that the first n are spread over the image.

    >>> boxes = np.array([[0, 0, 9, 9], [5, 5, 9, 9], [1, 1, 3, 3]], np.float32)
    >>> canonical_order(boxes, np.array([0.1, 0.9, 0.5], np.float32)).tolist()
    [1, 2, 0]
    """
    boxes = np.ascontiguousarray(bboxes, np.float32) + np.float32(0)  # -0 becomes 0
    mixed = np.zeros(len(boxes), np.uint64)
    for column in boxes.view(np.uint32).astype(np.uint64).T:  # splitmix64
        mixed = mixed + column + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], mixed, -np.asarray(scores)))


def check_record(record: ProposalRecord) -> None:
    """Raise a ValueError for proposals that are not sound boxes of their image; it says what is wrong, and of which image."""
    h, w = record.size
    boxes, scores = record.bboxes, record.scores
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
        raise ValueError(f'Proposals of {record.image_id!r} need bboxes (R, 4) and scores (R,), got {boxes.shape} and {scores.shape}.')
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f'Proposals of {record.image_id!r} need finite boxes and scores.')
    right = (boxes >= 0).all(1) & (boxes[:, :2] < boxes[:, 2:]).all(1) & (boxes[:, 2] <= w) & (boxes[:, 3] <= h)
    if not right.all():
        bad = boxes[~right][0].tolist()
        raise ValueError(f'Proposals of {record.image_id!r} must lie within its {h} x {w} pixels (h x w) and not be empty, got {bad}.')

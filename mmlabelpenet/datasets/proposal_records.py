"""Proposals of one image: boxes with scores, checked.

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

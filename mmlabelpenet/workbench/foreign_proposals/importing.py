"""Convert proposals of other programs: checked against the images, clipped, without duplicates.

Shapes: R proposals of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.datasets.proposals import ProposalRecord
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.foreign_proposals.layouts import ORDERS, BoxLayout
from mmlabelpenet.workbench.foreign_proposals.readers import Foreign

_SLACK = 1.0  # tolerance in pixels for boxes outside their image


@dataclass
class Tidied:
    """Counts of corrections: proposals clipped at the border, empty, too small, or duplicate; images left without proposals."""

    clipped: int = 0
    empty: int = 0
    small: int = 0
    repeated: int = 0
    without: int = 0

    def __str__(self) -> str:
        told = {
            'clipped at the border by up to a pixel': self.clipped,
            'empty ones dropped': self.empty,
            'small ones dropped': self.small,
            'repetitions dropped': self.repeated,
            'images left without proposals, which get the whole image': self.without,
        }
        return ', '.join(f'{count} {what}' for what, count in told.items() if count) or 'all boxes unchanged'


def import_record(
    image_id: str, size: tuple[int, int], foreign: Foreign, layout: BoxLayout, min_size: float = 0, tidied: Tidied | None = None
) -> ProposalRecord:
    """Convert the proposals of one image.

    Boxes that exceed the image by up to a pixel are clipped, empty and duplicate ones are dropped. An image without proposals gets the
    whole image.

    Args:
        min_size: minimum side of a proposal in pixels.
        tidied: updated with the counts of corrections.

    Raises:
        ValueError: a box exceeds the image by more, or is invalid; suggests a layout that would fit.

    >>> foreign = Foreign({'a': np.array([[1, 1, 10, 20]])}, {}, BoxLayout())
    >>> import_record('a', (10, 20), foreign, foreign.layout).bboxes.tolist()
    [[0.0, 0.0, 20.0, 10.0]]
    """
    tidied = Tidied() if tidied is None else tidied
    values = foreign.boxes[image_id]
    boxes = layout.xyxy(values)
    _check_inside(image_id, size, values, boxes, layout)
    scores = foreign.scores.get(image_id, np.ones(len(boxes)))
    inside = boxes.clip(0, np.array([size[1], size[0]] * 2))
    tidied.clipped += int((inside != boxes).any(1).sum())
    sides = (inside[:, 2:] - inside[:, :2]).min(1, initial=np.inf)
    tidied.empty += int((sides <= 0).sum())
    tidied.small += int(((sides > 0) & (sides < min_size)).sum())
    order = np.argsort(-scores, kind='stable')
    order = order[(sides > 0)[order] & (sides >= min_size)[order]]
    inside, scores = inside[order].astype(np.float32), scores[order].astype(np.float32)
    first = np.sort(np.unique(inside, axis=0, return_index=True)[1])  # the best of duplicate boxes
    tidied.repeated += len(inside) - len(first)
    if not len(first):
        tidied.without += 1
        inside, scores, first = np.array([[0, 0, size[1], size[0]]], np.float32), np.ones(1, np.float32), np.zeros(1, int)
    return ProposalRecord(image_id, size, inside[first], scores[first])


def other_orders(foreign: Foreign, layout: BoxLayout, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Other orders in which all boxes would be inside their images, so that the format is ambiguous.

    >>> foreign = Foreign({'a': np.array([[15, 2, 18, 19]])}, {}, BoxLayout())
    >>> other_orders(foreign, foreign.layout, {'a': (20, 20)}), other_orders(foreign, foreign.layout, {'a': (17, 20)})
    (['xyxy'], [])
    """
    others = [replace(layout, order=order) for order in ORDERS if order != layout.order]
    fitting = [other for other in others if all(_fits(other.xyxy(foreign.boxes[name]), size).all() for name, size in sizes.items())]
    return [other.order for other in fitting if any(len(foreign.boxes[name]) for name in sizes)]


def _check_inside(image_id: str, size: tuple[int, int], values: NDArray, boxes: NDArray, layout: BoxLayout) -> None:
    bad = ~_fits(boxes, size)
    if bad.any():
        others = [BoxLayout(order, layout.first_pixel, layout.last_inside) for order in ORDERS if order != layout.order]
        fitting = [other.order for other in others if _fits(other.xyxy(values), size).all()]
        raise ValueError(
            f'{counted(int(bad.sum()), f"box of {image_id!r}", "is", of=len(boxes))} not inside its {size[0]} x {size[1]} pixels (h x w) '
            f'when read as {layout.order} from pixel {layout.first_pixel}: the first is {np.asarray(values[bad][0]).tolist()}. '
            + (f'They would fit as {" or ".join(fitting)}.' if fitting else 'Is the file for other images, or for images of another size?')
        )


def _fits(boxes: NDArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    limits = np.array([size[1], size[0]] * 2) + _SLACK
    return np.isfinite(boxes).all(1) & (boxes >= -_SLACK).all(1) & (boxes <= limits).all(1) & (boxes[:, :2] <= boxes[:, 2:]).all(1)

"""Imported labels of an image, in a common format for all programs.

Shapes: (h, w) image. Boxes: xywh in pixels, 0-based and half-open, as in a label store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.formats.images import MAX_PIXELS


@dataclass(frozen=True)
class ReadObject:
    """A labelled object.

    Attributes:
        name: class name.
        bbox: xywh.
        segmentation: RLE of the image size, empty for an object with only a box.
        weight: as exported; 1 if drawn or changed by hand.
        as_exported: whether the object is unchanged since our export.
    """

    name: str
    bbox: tuple[float, float, float, float]
    segmentation: dict[str, Any]
    weight: float = 1.0
    as_exported: bool = False


@dataclass(frozen=True)
class ReadImage:
    """Labels of an image: its ``name`` below the image folder, its ``size`` (h, w), its ``objects``, and ``where`` they were read."""

    name: str
    size: tuple[int, int]
    objects: list[ReadObject]
    where: str


def encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """RLE of a mask bool (h, w), as in label stores."""
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=[int(side) for side in code['size']], counts=code['counts'].decode())


def extent(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Tight box xywh of a nonempty mask.

    >>> extent(np.array([[0, 1, 1]], bool))
    (1.0, 0.0, 2.0, 1.0)
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = float(columns[0]), float(rows[0])
    return x, y, float(columns[-1]) + 1 - x, float(rows[-1]) + 1 - y


def checked_size(height: int, width: int, where: str) -> tuple[int, int]:
    """Check (h, w) before memory is allocated for it.

    Raises:
        ValueError: the size is zero, or larger than an image may be.
    """
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f'{where} is for {height} x {width} pixels (h x w); expected 1 to {MAX_PIXELS // 1_000_000} megapixels.')
    return height, width


def checked_box(box: Sequence[float], size: tuple[int, int], where: str) -> tuple[float, float, float, float]:
    """A box xywh, refused where it has no area within the image.

    Raises:
        ValueError: it is not finite, empty, or lies outside.
    """
    x, y, w, h = (float(value) for value in box)
    if not np.isfinite([x, y, w, h]).all() or min(w, h) <= 0 or x + w <= 0 or y + h <= 0 or x >= size[1] or y >= size[0]:
        raise ValueError(f'{where} has the box {[x, y, w, h]} (x y w h), which has no area in an image of {size[0]} x {size[1]} (h x w).')
    return x, y, w, h

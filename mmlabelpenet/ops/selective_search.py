"""Selective search with OpenCV: class-agnostic proposals of an image, in a deterministic order.

Shapes: R proposals, G objects, (h, w) image. Boxes: float32 xyxy in pixels, half-open.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_MODES = ('fast', 'quality', 'single')


@dataclass(frozen=True)
class SelectiveSearchSettings:
    """Settings of selective search.

    Attributes:
        mode: OpenCV's strategy, ``'fast'``, ``'quality'`` or ``'single'``.
        min_size: proposals with a shorter side below this many pixels are dropped.
        max_proposals: maximum number per image, see :func:`thin_proposals`; 0 keeps all.
    """

    mode: str = 'fast'
    min_size: int = 20
    max_proposals: int = 0

    def __post_init__(self) -> None:
        """Reject modes that OpenCV does not have."""
        if self.mode not in _MODES:
            raise ValueError(f'The mode of selective search must be one of {", ".join(_MODES)}, got {self.mode!r}.')
        if self.min_size < 1 or self.max_proposals < 0:
            raise ValueError(f'min_size must be at least 1 and max_proposals at least 0, got {self.min_size} and {self.max_proposals}.')


def is_available() -> bool:
    """Whether this OpenCV has selective search, one of its contributed modules."""
    return hasattr(getattr(cv2, 'ximgproc', None), 'segmentation')


def opencv_search() -> Any:
    """Create OpenCV's selective search; if it is missing, an ImportError says what to install."""
    if not is_available():
        raise ImportError(
            'Selective search needs cv2.ximgproc.segmentation. Remove every OpenCV package, then install '
            'only opencv-contrib-python-headless: OpenCV packages overwrite each other.'
        )
    return cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()


def selective_search(image: NDArray[np.uint8], settings: SelectiveSearchSettings | None = None) -> NDArray[np.float32]:
    """Proposals of an image, BGR uint8 (h, w, 3); if nothing is found, the only proposal is the whole image.

    Returns:
        unique boxes, float32 (R, 4), in canonical order. They have no scores: the ranks of selective search are random and not used.

    Raises:
        ValueError: the image has another shape or dtype.
        ImportError: OpenCV lacks its contributed modules.

    >>> selective_search(np.zeros((40, 60, 3), np.uint8)).tolist()
    [[0.0, 0.0, 60.0, 40.0]]
    """
    settings = settings or SelectiveSearchSettings()
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f'Selective search needs a uint8 image (h, w, 3), got {image.dtype} {image.shape}.')
    search = opencv_search()
    search.setBaseImage(image)
    if settings.mode == 'fast':
        search.switchToSelectiveSearchFast()
    elif settings.mode == 'quality':
        search.switchToSelectiveSearchQuality()
    else:
        search.switchToSingleStrategy()
    # The set of rectangles is deterministic, their order is not.
    rects = np.unique(np.asarray(search.process(), np.float32).reshape(-1, 4), axis=0)
    rects = rects[rects[:, 2:].min(1) >= settings.min_size]
    if not len(rects):
        rects = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    bboxes = np.concatenate([rects[:, :2], rects[:, :2] + rects[:, 2:]], 1)
    bboxes = bboxes[canonical_order(bboxes, np.ones(len(bboxes), np.float32))]
    return thin_proposals(bboxes, settings.max_proposals) if settings.max_proposals else bboxes


def shrunk_search(image: NDArray[np.uint8], settings: SelectiveSearchSettings | None = None, max_side: int = 0) -> NDArray[np.float32]:
    """Run :func:`selective_search` on the image downscaled to ``max_side`` pixels (0: never); boxes are in pixels of the original image.

    The time grows faster than the number of pixels, and settings such as ``min_size`` are meant for images of about 500 pixels; they apply
    to the downscaled image.

    >>> shrunk_search(np.zeros((400, 600, 3), np.uint8), max_side=60).tolist()
    [[0.0, 0.0, 600.0, 400.0]]
    """
    h, w = image.shape[:2]
    ratio = max_side / max(h, w)
    if not max_side or ratio >= 1:
        return selective_search(image, settings)
    small = cv2.resize(image, (max(1, round(w * ratio)), max(1, round(h * ratio))), interpolation=cv2.INTER_AREA)
    scale = np.array([w / small.shape[1], h / small.shape[0]] * 2, np.float32)
    return (selective_search(small, settings) * scale).clip(0, np.array([w, h, w, h], np.float32))


def canonical_order(bboxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """An order, int64 (R,), that depends only on the proposals, not on their input order: by descending score, and for equal scores by a
    hash of the coordinates, so that the first n are spread over the image.

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
    return np.lexsort((mixed, -np.asarray(scores)))


def thin_proposals(bboxes: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """Keep ``limit`` proposals by dropping near-duplicates first, so that little recall is lost.

    Boxes that overlap an earlier one by more than 0.95, then 0.90, and so on, are dropped until at most ``limit`` are left; the boxes
    dropped last are restored up to the limit. Of two overlapping boxes (R, 4), the earlier one is kept; the order is preserved.

    >>> thin_proposals(np.array([[0, 0, 100, 100], [0, 0, 100, 99], [50, 50, 90, 90]], np.float32), 2).tolist()
    [[0.0, 0.0, 100.0, 100.0], [50.0, 50.0, 90.0, 90.0]]
    """
    if limit < 1:
        raise ValueError(f'At least 1 proposal must be kept, got a limit of {limit}.')
    left = np.arange(len(bboxes))
    for step in range(19, -1, -1):
        if len(left) <= limit:
            return bboxes[left]
        kept = _without_repetitions(bboxes, left, step / 20)
        if len(kept) <= limit:
            back = np.setdiff1d(left, kept)[: limit - len(kept)]
            return bboxes[np.sort(np.concatenate([kept, back]))]
        left = kept
    return bboxes[left[:limit]]  # more disjoint boxes than the limit


def _without_repetitions(bboxes: NDArray[np.float32], left: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    import torch  # not needed if a command only prints its help
    from torchvision.ops import nms

    order = torch.arange(len(left), 0, -1, dtype=torch.float64)
    return left[nms(torch.from_numpy(bboxes[left]).double(), order, threshold).numpy()]

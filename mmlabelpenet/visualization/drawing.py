"""Drawing functions, which return new arrays.

Shapes: n instances, C classes, (h, w) image. Images: RGB uint8 (h, w, 3). Boxes: xyxy in pixels of the image, half-open.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.schema import counted

Image = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTERS = 0.5  # size of captions
# Okabe and Ito's colours, which colour-blind people can tell apart, then darker and lighter ones.
_COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167), (170, 170, 170),
)  # fmt: skip


def class_colours(count: int) -> NDArray[np.uint8]:
    """A colour for each class, the first eight easily distinguishable.

    Returns:
        uint8 (count, 3), RGB.

    >>> class_colours(20).shape, len(np.unique(class_colours(20), axis=0))
    ((20, 3), 20)
    """
    base = np.array(_COLOURS, np.float64)
    shades = [base, base * 0.6, base * 0.6 + 102, base * 0.35, base * 0.3 + 170]
    repeated = [shades[index // len(base) % len(shades)][index % len(base)] for index in range(count)]
    return np.array(repeated, np.uint8).reshape(count, 3)


def enlarge(image: Image, scale: float) -> Image:
    """Rescale the image so that lines and text on it are fine.

    >>> enlarge(np.zeros((4, 6, 3), np.uint8), 1.5).shape
    (6, 9, 3)
    """
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def draw_instances(
    image: Image,
    bboxes: NDArray,
    colours: NDArray[np.uint8],
    captions: Sequence[str] = (),
    masks: Sequence[NDArray[np.bool_]] | None = None,
    scale: float = 1.0,
    opacity: float = 0.45,
) -> Image:
    """Boxes, masks with their outlines, and a caption at each box; the first instance is on top.

    Args:
        bboxes: float (n, 4).
        colours: uint8 (n, 3), RGB.
        captions: n texts, or none.
        masks: bool (n, h, w), or None.

    Returns:
        RGB uint8 of ``scale`` times the size.

    Raises:
        ValueError: the number of colours, captions or masks differs from the number of boxes.

    >>> draw_instances(np.zeros((8, 9, 3), np.uint8), np.zeros((0, 4)), np.zeros((0, 3), np.uint8), scale=2).shape
    (16, 18, 3)
    """
    counts = {'colours': len(colours), 'captions': len(captions or bboxes), 'masks': len(bboxes if masks is None else masks)}
    for name, count in counts.items():
        if count != len(bboxes):
            raise ValueError(f'{counted(len(bboxes), "box", "needs")} as many {name}, got {count}.')
    canvas = enlarge(image, scale) if masks is None else draw_masks(image, masks, colours, scale, opacity)
    for index in range(len(bboxes) - 1, -1, -1):
        colour = tuple(int(v) for v in colours[index])
        x1, y1, x2, y2 = (round(float(v) * scale) for v in bboxes[index])
        cv2.rectangle(canvas, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colour, 2)
        if captions:
            _write(canvas, captions[index], (x1, y1), colour)
    return canvas


def draw_masks(
    image: Image, masks: Sequence[NDArray[np.bool_]], colours: NDArray[np.uint8], scale: float = 1.0, opacity: float = 0.45
) -> Image:
    """Masks with their outlines; the first one is on top.

    Args:
        masks: bool (n, h, w).
        colours: uint8 (n, 3), RGB.

    >>> draw_masks(np.zeros((2, 3, 3), np.uint8), np.ones((1, 2, 3), bool), np.array([[9, 9, 9]]))[0, 0].tolist()
    [9, 9, 9]
    """
    canvas = enlarge(image, scale)
    for mask, rgb in zip(masks[::-1], colours[::-1], strict=True):
        colour = tuple(int(v) for v in rgb)
        inside = mask
        if mask.shape != canvas.shape[:2]:
            inside = cv2.resize(mask.astype(np.float32), canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
        blended = ((1 - opacity) * np.arange(256)[:, None] + opacity * np.array(colour)).astype(np.uint8)
        for channel in range(3):  # lookup table: the pixels of a large image would take gigabytes as floats
            np.copyto(canvas[..., channel], blended[:, channel][canvas[..., channel]], where=inside)
        outlines, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, colour, 1)
    return canvas


def _write(canvas: Image, text: str, corner: tuple[int, int], colour: tuple[int, ...]) -> None:
    """Text on a background of the colour, above the corner if there is room, else below it."""
    (w, h), base = cv2.getTextSize(text, _FONT, _LETTERS, 1)
    x = max(0, min(corner[0] - 1, canvas.shape[1] - w - 4))
    y = corner[1] - h - base - 1 if corner[1] >= h + base + 1 else corner[1]
    cv2.rectangle(canvas, (x, y), (x + w + 4, y + h + base + 1), colour, -1)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 120
    cv2.putText(canvas, text, (x + 2, y + h + 1), _FONT, _LETTERS, (0, 0, 0) if dark else (255, 255, 255), 1, cv2.LINE_AA)


def draw_heat(image: Image, heat: NDArray, scale: float = 1.0, opacity: float = 0.75) -> Image:
    """An attention map over the greyscale image: the maximum is brightest, zero shows the greyscale image.

    Args:
        heat: float (h', w'), not negative; of any size.
        opacity: opacity at the maximum.

    Raises:
        ValueError: the map has another number of axes, or negative or non-finite values.

    >>> draw_heat(np.zeros((8, 9, 3), np.uint8), np.zeros((4, 4))).tolist() == np.zeros((8, 9, 3)).tolist()
    True
    """
    heat = np.asarray(heat, np.float32)
    if heat.ndim != 2 or not heat.size or not np.isfinite(heat).all() or heat.min() < 0:
        raise ValueError(f'An attention map must be a (h, w) array of finite, non-negative values, got shape {heat.shape}.')
    canvas = enlarge(image, scale)
    strength = cv2.resize(heat / max(float(heat.max()), 1e-12), canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR).clip(0, 1)
    grey = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    colour = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = opacity * np.sqrt(strength)[..., None]
    return ((1 - share) * grey + share * colour).round().astype(np.uint8)


def draw_proposals(image: Image, bboxes: NDArray, scale: float = 1.0, limit: int = 300) -> Image:
    """Thin outlines of the first ``limit`` proposals on the darkened image.

    Args:
        bboxes: float (R, 4).
        limit: maximum number, so that the image remains visible.

    >>> draw_proposals(np.zeros((8, 9, 3), np.uint8), np.array([[1, 1, 5, 5]])).shape
    (8, 9, 3)
    """
    canvas = (enlarge(image, scale) * 0.6).astype(np.uint8)
    lines = canvas.copy()
    for box in np.asarray(bboxes)[:limit]:
        x1, y1, x2, y2 = (round(float(v) * scale) for v in box)
        cv2.rectangle(lines, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), (240, 240, 240), 1)
    return cv2.addWeighted(canvas, 0.6, lines, 0.4, 0)


def webp(image: Image, quality: int = 80) -> bytes:
    """The image as a WebP file.

    >>> webp(np.zeros((4, 4, 3), np.uint8))[8:12]
    b'WEBP'
    """
    return cv2.imencode('.webp', image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()

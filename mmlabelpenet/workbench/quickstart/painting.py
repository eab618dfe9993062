"""Painting of rendered scenes: colours, patterns, polygons, and lighting of the finished image.

Shapes: (h, w) canvas or image. Points are float (x, y) pixels. Images: BGR uint8 (h, w, 3). ``rng`` is the only source of randomness.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# BGR around the colour circle, of nearly equal strength, so that no colour is an outlier.
PALETTE = np.array(
    [(50, 50, 215), (40, 150, 240), (50, 215, 235), (70, 180, 60), (215, 190, 50), (215, 90, 50), (190, 70, 190)], np.float32
)

_SHIFT = 4  # fractional bits of the polygon points


def fill(outline: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The inside of an outline (n, 2), bool of the given size."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(outline * (1 << _SHIFT)).astype(np.int32)], 1, shift=_SHIFT)
    return mask.view(bool)


def paint(canvas: NDArray[np.uint8], outline: NDArray[np.float32], colour: NDArray[np.float32], shade: NDArray[np.float32]) -> None:
    """Fill an outline with a colour times the shade, in place, only inside the outline's window."""
    h, w = canvas.shape[:2]
    x1, y1 = np.clip(np.floor(outline.min(0)) - 1, 0, (w, h)).astype(int)
    x2, y2 = np.clip(np.ceil(outline.max(0)) + 2, 0, (w, h)).astype(int)
    if x1 >= x2 or y1 >= y2:
        return
    mask = fill(outline - np.array([x1, y1], np.float32), (y2 - y1, x2 - x1))
    canvas[y1:y2, x1:x2][mask] = np.clip(colour[None, :] * shade[y1:y2, x1:x2][mask][:, None], 0, 255).astype(np.uint8)


def muted(rng: np.random.Generator) -> NDArray[np.float32]:
    """A dull colour, BGR."""
    grey = rng.uniform(40, 190)
    return np.clip(grey + rng.uniform(-28, 28, 3), 0, 255).astype(np.float32)


def bright(rng: np.random.Generator) -> NDArray[np.float32]:
    """A colour of the figures with some jitter, BGR."""
    return np.clip(PALETTE[rng.integers(len(PALETTE))] + rng.uniform(-22, 22, 3), 0, 255).astype(np.float32)


def pattern(rng: np.random.Generator, size: tuple[int, int], strength: float) -> NDArray[np.float32]:
    """A brightness factor per pixel, float32 (h, w): a slope, and often stripes, checks or blots."""
    h, w = size
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    slope = (rng.uniform(-0.3, 0.3, 2) * strength).astype(np.float32)
    factor = 1 + slope[0] * (x / w - 0.5) + slope[1] * (y / h - 0.5)
    kind = rng.integers(4)
    depth = np.float32(rng.uniform(0.05, 0.22) * strength)
    period = rng.uniform(8, 26)
    angle = rng.uniform(0, math.pi)
    c, s = np.float32(math.cos(angle) / period), np.float32(math.sin(angle) / period)
    if kind == 1:
        factor += depth * (np.floor(x * c + y * s).astype(np.int32) % 2)
    elif kind == 2:
        factor += depth * ((np.floor(x * c + y * s) + np.floor(y * c - x * s)).astype(np.int32) % 2)
    elif kind == 3:
        coarse = rng.integers(0, 256, (max(2, int(h / period)), max(2, int(w / period))), dtype=np.uint8)
        factor += depth * (cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR) / np.float32(255))
    return factor.astype(np.float32)


def pick(rng: np.random.Generator, patterns: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One of the patterns."""
    return patterns[int(rng.integers(len(patterns)))]


def random_polygon(rng: np.random.Generator, centre: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """An outline (n, 2) of three to seven points around a centre, each within 0.5 to 1.2 times the radius."""
    angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
    reach = radius * rng.uniform(0.5, 1.2, len(angles))
    return (centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]).astype(np.float32)


def light(rng: np.random.Generator, image: NDArray[np.uint8], power: float, noise: int) -> NDArray[np.uint8]:
    """Apply brightness, tint, a light gradient and a soft-edged shadow, scaled by ``power``, and noise with the given amplitude."""
    h, w = image.shape[:2]
    gain = 1 + power * rng.uniform(-0.5, 0.25)
    tint = 1 + power * rng.uniform(-0.12, 0.12, 3)
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    slope = (power * rng.uniform(-0.4, 0.4, 2)).astype(np.float32)
    field = 1 + slope[0] * (x / w - 0.5) + slope[1] * (y / h - 0.5)
    shadow = np.zeros((h, w), np.uint8)
    cv2.fillPoly(shadow, [np.round(random_polygon(rng, rng.uniform(0, 1, 2) * (w, h), 0.5 * w)).astype(np.int32)], 255)
    field = field * (1 - np.float32(power * rng.uniform(0, 0.4) / 255) * cv2.blur(shadow, (21, 21)))
    amplitude = int(rng.integers(noise + 1))
    grain = rng.integers(-amplitude, amplitude + 1, image.shape, dtype=np.int16)
    lit = image * ((gain * tint).astype(np.float32) * field[..., None].astype(np.float32)) + grain
    return np.clip(np.floor(lit + 0.5), 0, 255).astype(np.uint8)

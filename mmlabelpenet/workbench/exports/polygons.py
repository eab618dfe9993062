"""Polygons along the edges of a mask's pixels.

Shapes: (h, w) image, P corners. Coordinates: xy in pixels, corners of pixels are integers, so that a polygon covers whole pixels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up: the inside lies to the right of the way


def mask_outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed outlines of a mask: outer ones clockwise as seen, those of holes the other way. Pixels that touch at a corner are apart.

    Args:
        mask: bool (h, w).

    Returns:
        int64 (P, 2) each, corners where the way turns; none for an empty mask.

    >>> [outline.tolist() for outline in mask_outlines(np.array([[0, 1, 1]], bool))]
    [[[1, 0], [3, 0], [3, 1], [1, 1]]]
    """
    ways = _ways(np.asarray(mask, bool))
    outlines = []
    while ways:
        corner = next(iter(ways))
        way = ways[corner][0]
        first, corners = (corner, way), []
        while True:
            ways[corner].remove(way)
            if not ways[corner]:
                del ways[corner]
            corner = (corner[0] + _STEPS[way][0], corner[1] + _STEPS[way][1])
            turned = next(w for w in ((way + 1) % 4, way, (way + 3) % 4) if w in ways.get(corner, ()) or (corner, w) == first)
            if turned != way:
                corners.append(corner)
            if (corner, turned) == first:
                break
            way = turned
        # Begin where the outline began, so that equal masks give equal outlines.
        outlines.append(np.array(corners[-1:] + corners[:-1], np.int64))
    return outlines


def single_polygon(outlines: Sequence[NDArray]) -> NDArray:
    """One polygon of several outlines, joined at their nearest corners by bridges without width, for formats with one polygon an object.

    Args:
        outlines: of :func:`mask_outlines`, at least one.

    Returns:
        (P, 2). Filled by the even-odd or the winding rule it covers what the outlines cover.

    >>> single_polygon([np.array([[0, 0], [1, 0], [1, 1]])]).tolist()
    [[0, 0], [1, 0], [1, 1]]
    """
    polygon = np.asarray(outlines[0])
    for outline in map(np.asarray, outlines[1:]):
        apart = np.abs(polygon[:, None] - outline[None]).sum(2)
        here, there = np.unravel_index(apart.argmin(), apart.shape)
        around = np.roll(outline, -there, 0)
        polygon = np.concatenate([polygon[: here + 1], around, around[:1], polygon[here:]])
    return polygon


def pulled_in(outline: NDArray, amount: float = 0.05) -> NDArray[np.float64]:
    """An outline moved towards the inside by a little, so that programs that cut coordinates to whole pixels fill the same pixels.

    Args:
        outline: of :func:`mask_outlines`.
        amount: in pixels.

    >>> pulled_in(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]), 0.25).tolist()
    [[0.25, 0.25], [1.75, 0.25], [1.75, 0.75], [0.25, 0.75]]
    """
    ahead = np.sign(np.roll(outline, -1, 0) - outline)
    behind = np.roll(ahead, 1, 0)
    inwards = np.stack([-ahead[:, 1] - behind[:, 1], ahead[:, 0] + behind[:, 0]], 1)
    return outline + amount * inwards


def _ways(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """From each corner the ways along an edge between inside and outside."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])  # above, right, below, left
    starts = ((0, 0), (1, 0), (1, 1), (0, 1))
    ways: dict[tuple[int, int], list[int]] = {}
    for way, (neighbour, (dx, dy)) in enumerate(zip(neighbours, starts, strict=True)):
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            ways.setdefault((x + dx, y + dy), []).append(way)
    return ways

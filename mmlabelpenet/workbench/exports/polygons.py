"""Polygons along the edges of a mask's pixels.

Shapes: (h, w) image, P corners. Coordinates: xy in pixels; corners of pixels are integers, so a polygon covers whole pixels.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up: the inside is on the right of the path


def mask_outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed outlines of a mask: outer ones clockwise on screen, those of holes counterclockwise.

    Pixels that touch only at a corner are not connected.

    Returns:
        int64 (P, 2) each, the turning points; none for an empty mask.

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
        # Start at the outline's first corner, so that equal masks give equal outlines.
        outlines.append(np.array(corners[-1:] + corners[:-1], np.int64))
    return outlines


def mask_polygons(mask: NDArray[np.bool_], move: Callable[[NDArray], NDArray] = lambda outline: outline) -> list[NDArray]:
    """One closed polygon for each component of a mask, largest first, with holes connected by zero-width bridges.

    Args:
        move: :func:`pulled_in` or :func:`inner`, for programs with other pixel coordinate conventions.

    Returns:
        (P, 2) each. Filled by the even-odd or the winding rule, they cover the mask.

    >>> [polygon.tolist() for polygon in mask_polygons(np.array([[1, 0, 1]], bool))]
    [[[0, 0], [1, 0], [1, 1], [0, 1]], [[2, 0], [3, 0], [3, 1], [2, 1]]]
    """
    polygons = []
    for part, corner in _parts(np.asarray(mask, bool)):
        outer, *holes = _outer_first([move(outline) for outline in mask_outlines(part)])
        polygons.append(_bridged(outer, holes) + corner)
    return polygons


def cut_polygons(mask: NDArray[np.bool_]) -> list[NDArray]:
    """Polygons without holes or bridges that cover a mask: components are split along a row of pixels through each hole.

    Returns:
        (P, 2) each, :func:`pulled_in`, so that no two of them touch.

    >>> len(cut_polygons(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)))
    2
    """
    polygons = []
    for part, corner in _parts(np.asarray(mask, bool)):
        outer, *holes = _outer_first(mask_outlines(part))
        if not holes:
            polygons.append(pulled_in(outer) + corner)
            continue
        rows = [int(hole[:, 1].min()) for hole in holes]
        row = min(rows, key=lambda row: abs(row - len(part) / 2))
        for first, piece in ((0, part[:row]), (row, part[row:])):
            polygons += [polygon + corner + [0, first] for polygon in cut_polygons(piece)]
    return polygons


def joined_parts(polygons: Sequence[NDArray]) -> NDArray:
    """Join several polygons into one, for formats with one polygon per object.

    Programs draw the bridge between two components one pixel wide, so a component is included only if it has more pixels than its bridge.

    Args:
        polygons: result of :func:`mask_polygons`, moved by :func:`inner`.
    """
    return _bridged(polygons[0], polygons[1:], lambda part, length: filled_pixels(part) > length - 1)


def filled_pixels(polygon: NDArray) -> int:
    """Number of pixels that OpenCV fills for a polygon with :func:`inner` coordinates."""
    corners = np.floor(polygon - np.floor(polygon.min(0))).astype(np.int32)
    return int(cv2.fillPoly(np.zeros(corners.max(0)[::-1] + 1, np.uint8), [corners], 1).sum())


def pulled_in(outline: NDArray, amount: float = 0.05) -> NDArray[np.float64]:
    """An outline shrunk slightly, so that programs that truncate coordinates to whole pixels fill the same pixels.

    >>> pulled_in(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]), 0.25).tolist()
    [[0.25, 0.25], [1.75, 0.25], [1.75, 0.75], [0.25, 0.75]]
    """
    ahead = np.sign(np.roll(outline, -1, 0) - outline)
    behind = np.roll(ahead, 1, 0)
    inwards = np.stack([-ahead[:, 1] - behind[:, 1], ahead[:, 0] + behind[:, 0]], 1)
    return outline + amount * inwards


def inner(outline: NDArray) -> NDArray[np.float64]:
    """An outline moved into the first half of the object's outermost pixels.

    When rounded or truncated, its corners are the outermost pixels of the object, so that OpenCV and Pillow fill the object.

    >>> inner(np.array([[0, 0], [2, 0], [2, 1], [0, 1]])).tolist()
    [[0.1, 0.1], [1.4, 0.1], [1.4, 0.4], [0.1, 0.4]]
    """
    moved = pulled_in(outline)
    first = np.floor(moved)
    return first + np.where(moved - first < 0.5, 0.1, 0.4)


def _parts(mask: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Edge-connected components, largest first: each cropped, with its corner (x, y)."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    found = []
    for number in sorted(range(1, count), key=lambda number: -stats[number, cv2.CC_STAT_AREA]):
        x, y, w, h = stats[number, :4].tolist()
        found.append((parts[y : y + h, x : x + w] == number, np.array([x, y])))
    return found


def _outer_first(outlines: Sequence[NDArray]) -> list[NDArray]:
    """The outlines of one component: the outer one, then those of holes from large to small."""
    return sorted(outlines, key=lambda outline: -np.ptp(outline, 0).prod())


def _bridged(outer: NDArray, rings: Sequence[NDArray], worth: Callable[[NDArray, float], bool] = lambda ring, length: True) -> NDArray:
    """One polygon of rings joined at their nearest corners, the nearest ring first, so that no two bridges cross.

    Args:
        outer: (P, 2), start of the polygon.
        rings: rings to join.
        worth: decides whether to include a ring, from the ring and the length of its bridge (Chebyshev distance).
    """
    polygon, added = outer, outer
    low, high = (np.array([bound(ring, 0) for ring in rings]).reshape(-1, 2) for bound in (np.min, np.max))
    distances, left = np.full(len(rings), np.inf), np.ones(len(rings), bool)
    corners, places = np.zeros((len(rings), 2)), np.zeros(len(rings), np.int64)  # ends of each bridge: in the polygon, and in the ring
    while left.any():
        gaps = np.maximum(low - added.max(0), added.min(0) - high).max(1)
        tree = cKDTree(added)
        for index in np.flatnonzero(left & (gaps < distances)):
            apart, nearest = tree.query(rings[index], p=np.inf, distance_upper_bound=distances[index])
            there = int(apart.argmin())
            if apart[there] < distances[index]:
                distances[index], corners[index], places[index] = apart[there], added[nearest[there]], there
        chosen = int(np.where(left, distances, np.inf).argmin())
        left[chosen] = False
        if not worth(rings[chosen], float(distances[chosen])):
            added = outer[:1]
            continue
        added = rings[chosen]
        here = int(np.flatnonzero((polygon == corners[chosen]).all(1))[0])
        around = np.roll(added, -places[chosen], 0)
        polygon = np.concatenate([polygon[: here + 1], around, around[:1], polygon[here:]])
    return polygon


def _ways(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """For each corner, the directions along edges between inside and outside."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])  # above, right, below, left
    starts = ((0, 0), (1, 0), (1, 1), (0, 1))
    ways: dict[tuple[int, int], list[int]] = {}
    for way, (neighbour, (dx, dy)) in enumerate(zip(neighbours, starts, strict=True)):
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            ways.setdefault((x + dx, y + dy), []).append(way)
    return ways

"""Superpixels of an image, their colours, and the minimum cut between those of an object and of the background.

Shapes: image (h, w), s superpixels, m different colours.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from mmlabelpenet.log import warn_once

COMPONENTS = 5  # number of Gaussians per mixture
SAMPLE = 3000  # number of pixels from which a mixture is estimated
ITERATIONS = 5  # of SLIC
UNITS = 100  # capacities of the graph are integers: this many for each unit of energy
MOST = 2**30  # bound of the sum of the capacities to the object, of those to the background, and of those between superpixels


class Superpixels(NamedTuple):
    """The superpixels of an image."""

    pixels: np.ndarray  # RGB uint8 (h w, 3)
    labels: np.ndarray  # int64 (h, w)
    colours: np.ndarray  # products of the channels of each colour, float64 (m, 16)
    counts: csr_matrix  # (s, m): number of pixels of each colour
    borders: coo_matrix  # (s, s): contrast along each border, once per pair

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum of values (h, w) in each superpixel, float (s,)."""
        return np.bincount(self.labels.ravel(), values.ravel())

    def mean(self, mask: np.ndarray) -> np.ndarray:
        """Share of each superpixel in a mask (h, w); float (s,)."""
        return self.total(mask) / np.bincount(self.labels.ravel())

    def log_odds(self, mask: np.ndarray) -> np.ndarray:
        """Log odds of the colours of each superpixel, float (s,), under mixtures of the colours inside and outside a mask (h, w)."""
        places = [np.flatnonzero(where) for where in (mask, ~mask)]
        samples = [np.random.default_rng(0).choice(each, min(SAMPLE, len(each)), replace=False, shuffle=False) for each in places]
        inside, outside = (log_density(self.pixels[each], self.colours) for each in samples)
        return self.counts @ (inside - outside)

    def minimum_cut(self, evidence: np.ndarray, background: np.ndarray, smoothness: float) -> np.ndarray:
        """The superpixels of the object, bool (s,), given log odds (s,) and those that are certainly background, bool (s,)."""
        nodes = np.where(background, -1, (~background).cumsum() - 1)  # only the others are part of the graph
        many = int(nodes.max()) + 1
        first, second, cost = nodes[self.borders.row], nodes[self.borders.col], smoothness * self.borders.data
        inner = (first >= 0) & (second >= 0)
        outer = ~inner & (first + second > -2)
        gain, loss = evidence[~background].clip(0), (-evidence[~background]).clip(0)
        loss += np.bincount(np.maximum(first, second)[outer], cost[outer], many)
        first, second, cost = first[inner], second[inner], cost[inner]
        units = min(UNITS, MOST / max(gain.sum(), loss.sum(), cost.sum(), 1e-9))
        capacities = (units * np.concatenate([cost, cost, gain, loss])).astype(np.int32)
        every = np.arange(many)
        ends = np.concatenate([first, second, every * 0 + many, every]), np.concatenate([second, first, every, every * 0 + many + 1])
        graph = csr_matrix((capacities, ends), shape=(many + 2, many + 2))
        rest = graph - maximum_flow(graph, many, many + 1).flow
        rest.eliminate_zeros()
        chosen = np.zeros(many + 2, bool)
        chosen[breadth_first_order(rest, many, return_predecessors=False)] = True
        return chosen[nodes]


@lru_cache(maxsize=2)
def superpixels(pixels: bytes, shape: tuple[int, int], scale: tuple[int, int], size: int) -> Superpixels:
    """Superpixels of an RGB image, given as the bytes of an array uint8 (h, w, 3) of a ``shape``, which is resized to ``scale``; kept for
    the next objects of the same image.
    """
    image = scaled(np.frombuffer(pixels, np.uint8).reshape(*shape, 3), scale)
    labels = superpixel_labels(image, size)
    many = int(labels.max()) + 1
    coarse = image.reshape(-1, 3).astype(np.int64) >> 3
    bins, amount = renumbered((coarse[:, 0] << 10) | (coarse[:, 1] << 5) | coarse[:, 2])
    colours = np.stack([np.bincount(bins, image[..., axis].ravel()) / amount for axis in range(3)], 1)
    counts = csr_matrix((np.ones(bins.size), (labels.ravel(), bins)), shape=(many, len(amount)))
    return Superpixels(image.reshape(-1, 3), labels, products(colours), counts, contrast(image, labels, many))


def superpixel_labels(image: np.ndarray, size: int) -> np.ndarray:
    """The superpixel (SLIC) of each pixel of an RGB image uint8 (h, w, 3), int64 (h, w).

    Without OpenCV's contributed modules, and in images of a few pixels, each pixel is one.

    >>> superpixel_labels(np.zeros((2, 3, 3), np.uint8), 4).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    height, width = image.shape[:2]
    available = hasattr(getattr(cv2, 'ximgproc', None), 'createSuperpixelSLIC')
    if not available:
        warn_once(
            'OpenCV has no contributed modules, so cuts use pixels instead of superpixels and are slow. Remove every OpenCV package, then '
            'install only opencv-contrib-python-headless.'
        )
    if available and min(height, width) > 2 * size > 2:
        slic = cv2.ximgproc.createSuperpixelSLIC(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), cv2.ximgproc.SLIC, size, 20.0)
        slic.iterate(ITERATIONS)
        slic.enforceLabelConnectivity()
        labels = slic.getLabels()
    else:
        labels = np.arange(height * width)
    return renumbered(labels)[0].reshape(height, width)


def renumbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers >= 0, of any shape, as 0, 1, 2, ... in the same order, int64, and how many there are of each.

    >>> [values.tolist() for values in renumbered(np.array([7, 2, 7]))]
    [[1, 0, 1], [1, 2]]
    """
    counts = np.bincount(labels.ravel())
    return ((counts > 0).cumsum() - 1)[labels], counts[counts > 0]


def contrast(image: np.ndarray, labels: np.ndarray, many: int) -> coo_matrix:
    """Sum of ``exp(-(c_i - c_j)^2 / 2 mean (c_i - c_j)^2) / |i - j|`` over the 8 neighbours i, j on each border between two superpixels."""
    image, squares, weights, pairs = image.transpose(2, 0, 1).astype(np.float32, order='C'), [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = slice(None, -down or None), slice(max(0, -right), -max(0, right) or None)
        there = slice(down, None), slice(max(0, right), min(0, right) or None)
        step = image[(..., *here)] - image[(..., *there)]
        square = np.einsum('chw,chw->hw', step, step)
        border = np.flatnonzero(labels[here] != labels[there])
        squares.append((square.sum(dtype=np.float64), square.size))
        weights.append((square.ravel()[border], np.full(len(border), np.hypot(down, right))))
        pairs.append((labels[here].ravel()[border], labels[there].ravel()[border]))
    total, count = np.sum(squares, 0)
    (square, length), (first, second) = (np.concatenate(each, 1) for each in (weights, pairs))
    weight = np.exp(-square * count / max(2 * total, 1e-9)) / length
    return csr_matrix((weight, (np.minimum(first, second), np.maximum(first, second))), shape=(many, many)).tocoo()


def log_density(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Log density of colours under a mixture of Gaussians estimated from pixels uint8 (p, 3), up to a constant; float64 (m,).

    ``colours`` are their :func:`products` (m, 16): the exponents are linear in them, and so are the moments of the pixels.

    >>> black_and_white = np.repeat(np.uint8([[0, 0, 0], [255, 255, 255]]), 50, 0)
    >>> density = log_density(black_and_white, products(np.array([[0.0, 0, 0], [128, 128, 128], [255, 255, 255]])))
    >>> bool(density[0] == density[2] > density[1])
    True
    """
    sample = pixels.astype(np.float32)
    cv2.setRNGSeed(0)  # k-means starts from random pixels
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0)
    _, nearest, _ = cv2.kmeans(sample, min(COMPONENTS, len(sample)), None, stop, 1, cv2.KMEANS_PP_CENTERS)
    moments = (nearest == np.unique(nearest)).astype(float).T @ products(pixels)
    share, moments = moments[:, 0] / len(sample), (moments / moments[:, :1]).reshape(-1, 4, 4)
    centre = moments[:, 1:, 0]
    spread = moments[:, 1:, 1:] - centre[:, :, None] * centre[:, None] + np.eye(3)
    precision = np.linalg.inv(spread)
    towards = np.concatenate([-centre[:, None], np.broadcast_to(np.eye(3), spread.shape)], 1)  # (1, c) @ towards = c - centre
    distance = colours @ (towards @ precision @ towards.swapaxes(1, 2)).reshape(-1, 16).T
    return np.log(np.exp(-distance / 2) @ (share / np.sqrt(np.linalg.det(spread))) + 1e-30)


def products(colours: np.ndarray) -> np.ndarray:
    """Products of each pair of 1 and the channels of colours (m, 3), float64 (m, 16).

    >>> products(np.array([[2.0, 3, 5]])).reshape(4, 4).tolist()[1:3]
    [[2.0, 4.0, 6.0, 10.0], [3.0, 6.0, 9.0, 15.0]]
    """
    extended = np.column_stack([np.ones(len(colours)), colours])
    return (extended[:, :, None] * extended[:, None]).reshape(-1, 16)


def scaled(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 (h, w, 3), or a mask bool or soft mask float32 (h, w), at another size (h', w')."""
    if array.shape[:2] == size:
        return np.ascontiguousarray(array)
    if array.dtype == bool:
        return cv2.resize(array.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    return cv2.resize(array, size[::-1], interpolation=cv2.INTER_AREA)

"""Refinement of an object by colour: a minimum cut through superpixels.

As in GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004), two mixtures of Gaussians model the colours inside and outside an initial mask,
and a minimum cut separates object and background along image edges. As in Lazy Snapping (Li, Sun, Tang and Shum, SIGGRAPH 2004), it assigns
superpixels instead of pixels, which takes a fraction of the time. With colours c_i of pixels i in superpixels s(i), it minimises

    sum_i -log p(c_i | x_s(i)) + gamma * sum_ij [x_s(i) != x_s(j)] exp(-(c_i - c_j)^2 / 2 mean (c_i - c_j)^2) / |i - j|

over x in {object, background}, where the second sum is over all pairs of 8 neighbours.

Shapes: n objects of one image (h, w), s superpixels, m different colours. Boxes: float xyxy in pixels of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

from mmlabelpenet.calibration.objects import inside_box, mask_bbox
from mmlabelpenet.registry import TASK_UTILS
from mmlabelpenet.schema import check_range
from mmlabelpenet.timing import timed

COMPONENTS = 5  # number of Gaussians per mixture
ITERATIONS = 5  # of SLIC
SAMPLE = 3000  # number of pixels from which a mixture is estimated
UNITS = 100  # capacities of the graph are integers: this many for each unit of energy
MOST = 2**30  # bound of all capacities together


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class SuperpixelCut:
    """The mask of an object from an initial mask.

    Args:
        size: side of a superpixel, in pixels of the downscaled image.
        smoothness: gamma.
        margin: how far an object may extend beyond its box, as a fraction of the box's sides; everything beyond is background.
        max_size: larger images are downscaled to this longer side; None keeps the size.
        moves_boxes: how far the box of an object moves to that of its cut: 1 replaces it, 0 keeps it, 0.5 is their mean.
        min_fill: if the box of the cut fills less than this share of the object's box, that box is too large: the box of the initial mask
            replaces it before it moves.
    """

    size: int = 4
    smoothness: float = 25.0
    margin: float = 0.1
    max_size: int | None = 300
    moves_boxes: float = 0.75
    min_fill: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that would give nothing."""
        check_range(1, size=self.size, max_size=self.max_size)
        check_range(0, smoothness=self.smoothness, margin=self.margin)
        check_range(0, 1, moves_boxes=self.moves_boxes, min_fill=self.min_fill)

    def boxes_and_masks(
        self, image: np.ndarray, masks: np.ndarray, bboxes: Tensor, others: Sequence[np.ndarray] | None = None
    ) -> tuple[Tensor, np.ndarray]:
        """Boxes (n, 4) of the largest components of several objects' cuts, and the cuts, bool (n, h, w).

        Box and mask are kept if the cut is empty or elsewhere (IoU below 0.1); ``moves_boxes`` says how far other boxes move.

        Args:
            image: RGB uint8 (h, w, 3).
            masks: initial masks, bool (n, h, w).
            bboxes: float (n, 4), on the CPU.
            others: bool (n, h, w), for each object the pixels of other objects.

        >>> image = np.zeros((20, 30, 3), np.uint8); image[5:15, 10:20] = 250
        >>> boxes, masks = SuperpixelCut(moves_boxes=1).boxes_and_masks(image, image[None, ..., 0] > 0, Tensor([[8, 3, 21, 16]]))
        >>> boxes.tolist(), int(masks.sum())
        ([[10.0, 5.0, 20.0, 15.0]], 100)
        """
        bboxes, masks = bboxes.clone(), masks.copy()
        with timed('cut'):
            for index, bbox in enumerate(bboxes.clone()):
                tight, found = mask_bbox(self(image, masks[index], bbox.tolist(), None if others is None else others[index]), bbox)
                if not found.any():
                    continue
                filled, whole = ((box[2:] - box[:2]).prod() for box in (tight, bbox))
                if filled < self.min_fill * whole:
                    bbox, _ = mask_bbox(masks[index], bbox, 0.0)
                masks[index], bboxes[index] = found, bbox.lerp(tight, float(self.moves_boxes))
        return bboxes, masks

    def __call__(self, image: np.ndarray, mask: np.ndarray, bbox: Sequence[float], others: np.ndarray | None = None) -> np.ndarray:
        """The object's mask, bool (h, w): the initial mask itself, within its bounds, if object or background have too few pixels.

        Args:
            image: RGB uint8 (h, w, 3).
            mask: initial mask, bool (h, w); an empty one stands for the whole box.
            bbox: box of the object.
            others: bool (h, w), pixels that belong to other objects.

        >>> image = np.zeros((20, 30, 3), np.uint8); image[5:15, 10:20] = 250
        >>> guess = np.zeros((20, 30), bool); guess[5:12, 9:17] = True
        >>> cut = SuperpixelCut()(image, guess, (9, 4, 21, 16))
        >>> bool(cut[5:15, 10:20].all()), int(cut.sum())
        (True, 100)
        """
        allowed = inside_box(mask.shape, bbox, self.margin)
        if others is not None:
            allowed &= ~others
        guess = (mask if mask.any() else inside_box(mask.shape, bbox)) & allowed
        ratio = min(1.0, (self.max_size or max(mask.shape)) / max(mask.shape))
        width, height = (max(1, round(side * ratio)) for side in mask.shape[::-1])
        image, small, inside = (scaled(array, width, height) for array in (image, guess, allowed))
        if min(np.count_nonzero(small), small.size - np.count_nonzero(small)) < COMPONENTS:
            return guess
        parts = superpixels(image.tobytes(), height, width, self.size)
        evidence = parts.log_odds(image, small)
        chosen = parts.minimum_cut(evidence, parts.mean(~inside) > 0.5, self.smoothness)
        return scaled(chosen[parts.labels], *mask.shape[::-1]) & allowed


def scaled(array: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image uint8 (h, w, 3) or a mask bool (h, w) at another size."""
    if array.shape[:2] == (height, width):
        return np.ascontiguousarray(array)
    if array.dtype == bool:
        return cv2.resize(array.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA)


class Superpixels(NamedTuple):
    """The superpixels of an image."""

    labels: np.ndarray  # int64 (h, w)
    colours: np.ndarray  # float64 (m, 3)
    counts: csr_matrix  # (s, m): number of pixels of each colour
    borders: coo_matrix  # (s, s): contrast along each border, once per pair

    def mean(self, mask: np.ndarray) -> np.ndarray:
        """Share of each superpixel in a mask (h, w); float (s,)."""
        size = np.bincount(self.labels.ravel())
        return np.bincount(self.labels.ravel(), mask.ravel(), len(size)) / size

    def log_odds(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Log odds of the colours of each superpixel, float (s,), under mixtures of the colours inside and outside a mask (h, w)."""
        pixels = image.reshape(-1, 3)
        inside, outside = (log_density(pixels[where.ravel()], self.colours) for where in (mask, ~mask))
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
        every, source, sink = np.arange(many), np.full(many, many), np.full(many, many + 1)
        ends = np.concatenate([first, second, source, every]), np.concatenate([second, first, every, sink])
        graph = csr_matrix((capacities, ends), shape=(many + 2, many + 2))
        rest = graph - maximum_flow(graph, many, many + 1).flow
        rest.eliminate_zeros()
        chosen = np.zeros(many + 2, bool)
        chosen[breadth_first_order(rest, many, return_predecessors=False)] = True
        return chosen[nodes]


@lru_cache(maxsize=2)
def superpixels(pixels: bytes, height: int, width: int, size: int) -> Superpixels:
    """Superpixels (SLIC) of an RGB image, given as the bytes of an array uint8 (h, w, 3); kept for the next objects of the same image."""
    image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    if min(height, width) > 2 * size > 2:
        slic = cv2.ximgproc.createSuperpixelSLIC(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), cv2.ximgproc.SLIC, size, 20.0)
        slic.iterate(ITERATIONS)
        slic.enforceLabelConnectivity()
        _, labels = np.unique(slic.getLabels(), return_inverse=True)
        labels = labels.reshape(height, width)
    else:
        labels = np.arange(height * width).reshape(height, width)
    many = int(labels.max()) + 1
    coarse = image.reshape(-1, 3).astype(np.int64) >> 3
    used, bins, amount = np.unique((coarse[:, 0] << 10) | (coarse[:, 1] << 5) | coarse[:, 2], return_inverse=True, return_counts=True)
    colours = np.stack([np.bincount(bins, image[..., axis].ravel()) / amount for axis in range(3)], 1)
    counts = csr_matrix((np.ones(bins.size), (labels.ravel(), bins)), shape=(many, len(used)))
    return Superpixels(labels, colours, counts, contrast(image, labels, many))


def contrast(image: np.ndarray, labels: np.ndarray, many: int) -> coo_matrix:
    """Sum of exp(-(c_i - c_j)^2 / 2 mean (c_i - c_j)^2) / |i - j| over the 8 neighbours i, j on each border between two superpixels."""
    image, squares, weights, pairs = image.astype(np.float32), [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = slice(None, -down or None), slice(max(0, -right), -max(0, right) or None)
        there = slice(down, None), slice(max(0, right), min(0, right) or None)
        square = ((image[here] - image[there]) ** 2).sum(-1)
        border = labels[here] != labels[there]
        squares.append((square.sum(dtype=np.float64), square.size))
        weights.append((square[border], np.full(np.count_nonzero(border), np.hypot(down, right))))
        pairs.append((labels[here][border], labels[there][border]))
    total, count = np.sum(squares, 0)
    (square, length), (first, second) = (np.concatenate(each, 1) for each in (weights, pairs))
    weight = np.exp(-square * count / max(2 * total, 1e-9)) / length
    return csr_matrix((weight, (np.minimum(first, second), np.maximum(first, second))), shape=(many, many)).tocoo()


def log_density(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Log density of colours (m, 3) under a mixture of Gaussians estimated from pixels uint8 (p, 3), up to a constant; float64 (m,).

    >>> black_and_white = np.repeat(np.uint8([[0, 0, 0], [255, 255, 255]]), 50, 0)
    >>> density = log_density(black_and_white, np.array([[0.0, 0, 0], [128, 128, 128], [255, 255, 255]]))
    >>> bool(density[0] == density[2] > density[1])
    True
    """
    sample = pixels[:: -(-len(pixels) // SAMPLE)].astype(np.float32)
    cv2.setRNGSeed(0)  # k-means starts from random pixels
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0)
    _, nearest, _ = cv2.kmeans(sample, min(COMPONENTS, len(sample)), None, stop, 1, cv2.KMEANS_PP_CENTERS)
    density = np.full(len(colours), 1e-30)
    for component in range(COMPONENTS):
        members = sample[nearest[:, 0] == component].astype(np.float64)
        if not len(members):
            continue
        centre = members.mean(0)
        spread = (members - centre).T @ (members - centre) / len(members) + np.eye(3)
        away = colours - centre
        distance = (away @ np.linalg.inv(spread) * away).sum(1)
        density += len(members) / len(sample) / np.sqrt(np.linalg.det(spread)) * np.exp(-distance / 2)
    return np.log(density)

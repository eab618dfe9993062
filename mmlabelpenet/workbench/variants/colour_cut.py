"""Refinement of many objects by colour at once, each on a small grid, which is fast enough for testing.

Like GrabCut (grab_cut.py), it alternates between estimating the colours of object and background and assigning pixels to them. Colours are
modelled by histograms instead of mixtures of Gaussians, and pixels are smoothed by mean field instead of a minimum cut: a field of 8
neighbours in which a pixel's log odds are

    u_i + gamma * sum_j w_ij s_j,    w_ij = exp(-(c_i - c_j)^2 / 2 mean (c_i - c_j)^2) / distance,    s_i = tanh(log odds_i / 2) in (-1, 1)

with u the log odds of the colour, of its histograms, and a share of those of the first guess.

Shapes: n objects of one image (h, w), (g, g) grid of an object. Boxes: float xyxy in pixels of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from mmlabelpenet.calibration.objects import mask_bbox, window
from mmlabelpenet.registry import TASK_UTILS
from mmlabelpenet.schema import check_range
from mmlabelpenet.timing import timed

BINS = 8  # of each axis of a histogram
RARE = 1e-3  # fraction of all pixels spread over all colours, so that unseen colours have little influence
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # offsets in rows and columns; the opposite ones follow by symmetry


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class ColourCut:
    """Masks and boxes of several objects of an image from soft initial masks.

    Args:
        size: g, the side of the grid to which an object and its surroundings are resized.
        rounds: number of rounds of fitting colours and assigning cells.
        steps: mean-field steps per round.
        smoothness: gamma.
        trust: weight of the initial mask's log odds; that of the colours is 1.
        margin: how far an object may extend beyond its box, as a fraction of the box's sides; everything beyond is background.
        surroundings: how much background is used, likewise.
    """

    size: int = 48
    rounds: int = 2
    steps: int = 20
    smoothness: float = 5.0
    trust: float = 0.15
    margin: float = 0.25
    surroundings: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values that would give nothing."""
        check_range(1, size=self.size, rounds=self.rounds)
        check_range(0, **{name: getattr(self, name) for name in ('steps', 'smoothness', 'trust', 'margin', 'surroundings')})

    def boxes_and_masks(
        self, image: NDArray[np.uint8], guesses: NDArray[np.float32], bboxes: Tensor, others: NDArray[np.bool_] | None = None
    ) -> tuple[Tensor, NDArray[np.bool_]]:
        """Boxes (n, 4) of the largest components of the objects, and masks bool (n, h, w).

        An object whose result is empty or elsewhere (box IoU below 0.1) keeps its box, and its mask is the initial one thresholded at 0.5.

        Args:
            image: RGB uint8 (h, w, 3).
            guesses: initial soft masks, float (n, h, w) in [0, 1]; an empty one stands for the whole box.
            bboxes: float (n, 4), on the CPU.
            others: bool (n, h, w), for each object the pixels of other objects.

        >>> image = np.zeros((20, 30, 3), np.uint8); image[5:15, 10:20] = 250
        >>> guess = np.zeros((1, 20, 30), np.float32); guess[0, 5:12, 9:17] = 1
        >>> boxes, masks = ColourCut().boxes_and_masks(image, guess, Tensor([[9, 4, 21, 16]]))
        >>> boxes[0].tolist(), int(masks.sum())
        ([10.0, 5.0, 20.0, 15.0], 100)
        """
        boxes, masks = bboxes.clone(), guesses > 0.5
        parts = [window(image.shape[:2], bbox, self.surroundings) for bbox in bboxes.tolist()]
        seen = [index for index, part in enumerate(parts) if image[part].size]
        if not seen:
            return boxes, masks
        with timed('cut'):
            colours = np.stack([self._reduced(image[parts[index]]) for index in seen])
            guess = np.stack([self._reduced(guesses[index][parts[index]]) for index in seen])
            inside, whole = (
                np.stack([self._inside(bboxes[index].tolist(), parts[index], margin) for index in seen]) for margin in (self.margin, 0)
            )
            if others is not None:
                inside &= np.stack([self._reduced(others[index][parts[index]].astype(np.float32)) < 0.5 for index in seen])
            guess = np.where(guess.any((1, 2), keepdims=True), guess, whole)
            for index, found in zip(seen, self._assign(colours, guess, inside), strict=True):
                mask = np.zeros(image.shape[:2], bool)
                height, width = mask[parts[index]].shape
                mask[parts[index]] = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) > 0
                if others is not None:
                    mask &= ~others[index]
                tight, mask = mask_bbox(mask, boxes[index])
                if mask.any():
                    boxes[index], masks[index] = tight, mask
        return boxes, masks

    def _reduced(self, array: NDArray) -> NDArray:
        return cv2.resize(array, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def _inside(self, bbox: Sequence[float], part: tuple[slice, slice], margin: float) -> NDArray[np.bool_]:
        """Cells of a box widened by a fraction of its sides, bool (g, g)."""
        ticks = (np.arange(self.size) + 0.5) / self.size
        near = []
        for axis, side in zip((1, 0), part, strict=True):
            centres, extra = side.start + ticks * (side.stop - side.start), margin * (bbox[axis + 2] - bbox[axis])
            near.append((centres > bbox[axis] - extra) & (centres < bbox[axis + 2] + extra))
        return near[0][:, None] & near[1]

    def _assign(self, colours: NDArray[np.uint8], guess: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
        """s in [-1, 1] of the cells of all objects, (n, g, g), -1 outside."""
        lab = cv2.cvtColor(colours.reshape(-1, self.size, 3), cv2.COLOR_RGB2LAB).reshape(colours.shape)
        prior, weights = self.trust * log_odds(guess), contrast_weights(colours)
        share = np.where(inside, guess, 0)
        for _ in range(self.rounds):
            unary = (prior + colour_log_odds(lab, share)).astype(np.float32)
            state = np.where(inside, np.tanh(unary / 2), -1)
            for _ in range(self.steps):
                state = np.where(inside, np.tanh((unary + self.smoothness * neighbour_sums(weights, state)) / 2), -1)
            share = (state + 1) / 2
        return state


def log_odds(probability: NDArray, limit: float = 0.02) -> NDArray:
    """log p / (1 - p) of probabilities clipped by ``limit`` away from 0 and 1."""
    probability = probability.clip(limit, 1 - limit)
    return np.log(probability / (1 - probability))


def colour_log_odds(lab: NDArray[np.uint8], share: NDArray, limit: float = 4.0) -> NDArray:
    """Log ratio of the frequencies of a cell's colour in object and background, within ``limit``.

    Args:
        lab: colours, uint8 (n, g, g, 3).
        share: fraction of each cell that belongs to the object, (n, g, g) in [0, 1].
    """
    digits = lab.astype(np.int64) // (256 // BINS)
    index = ((np.arange(len(lab))[:, None, None] * BINS + digits[..., 0]) * BINS + digits[..., 1]) * BINS + digits[..., 2]
    densities = []
    for weights in (share, 1 - share):
        counts = np.bincount(index.ravel(), weights.ravel(), len(lab) * BINS**3).reshape(-1, BINS, BINS, BINS)
        counts = gaussian_filter(counts, (0, 0.5, 0.5, 0.5), mode='constant', truncate=2)
        densities.append(counts / (counts.sum((1, 2, 3), keepdims=True) + 1e-9) + RARE / BINS**3)
    return np.log(densities[0] / densities[1]).clip(-limit, limit).ravel()[index]


def contrast_weights(colours: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """w_ij of every cell with its neighbours in :data:`NEIGHBOURS`, each (n, ...) without those beyond the border."""
    colours = colours.astype(np.float32)
    squares = [((colours[here] - colours[there]) ** 2).sum(-1) for here, there in map(neighbour_slices, NEIGHBOURS)]
    means = sum(square.sum((1, 2)) for square in squares) / max(sum(square[0].size for square in squares), 1)
    scale = (2 * means + 1e-6)[:, None, None]
    return [np.exp(-square / scale) / np.hypot(*step) for square, step in zip(squares, NEIGHBOURS, strict=True)]


def neighbour_sums(weights: Sequence[NDArray], state: NDArray) -> NDArray:
    """sum_j w_ij s_j over the 8 neighbours, for s (n, g, g)."""
    sums = np.zeros_like(state)
    for weight, step in zip(weights, NEIGHBOURS, strict=True):
        here, there = neighbour_slices(step)
        sums[here] += weight * state[there]
        sums[there] += weight * state[here]
    return sums


def neighbour_slices(step: tuple[int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """For grids (n, g, g): the cells with a neighbour at an offset in rows and columns, and these neighbours."""
    ends = {0: (slice(None), slice(None)), 1: (slice(None, -1), slice(1, None)), -1: (slice(1, None), slice(None, -1))}
    (top, bottom), (left, right) = (ends[distance] for distance in step)
    return (slice(None), top, left), (slice(None), bottom, right)

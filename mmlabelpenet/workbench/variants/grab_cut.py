"""Refinement of an object by colour (GrabCut: Rother, Kolmogorov and Blake, SIGGRAPH 2004), with OpenCV.

It fits two mixtures of Gaussians to the colours inside and outside an initial mask, and separates them along image edges.

Shapes: n objects of one image (h, w). Boxes: float xyxy in its pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mmlabelpenet.calibration.objects import inside_box, mask_bbox
from mmlabelpenet.registry import TASK_UTILS
from mmlabelpenet.schema import check_range
from mmlabelpenet.timing import timed

COMPONENTS = 5  # number of Gaussians per mixture in OpenCV, which needs at least as many pixels


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class GrabCut:
    """The mask of an object from an initial mask.

    Args:
        iterations: iterations of fitting and cutting.
        margin: how far an object may extend beyond its box, as a fraction of the box's sides; everything beyond is background.
        max_size: larger images are downscaled to this longer side; None keeps the size.
        moves_boxes: how far the box of an object moves to that of its cut: True or 1 replaces it, False or 0 keeps it, 0.5 is their mean.
        min_fill: if the box of the cut fills less than this share of the object's box, that box is too large: the box of the initial mask
            replaces it before it moves.
    """

    iterations: int = 1
    margin: float = 0.1
    max_size: int | None = 300
    moves_boxes: bool | float = True
    min_fill: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that OpenCV would accept silently."""
        check_range(1, iterations=self.iterations, max_size=self.max_size)
        check_range(0, margin=self.margin)
        check_range(0, 1, moves_boxes=float(self.moves_boxes), min_fill=self.min_fill)

    def __call__(self, image: np.ndarray, mask: np.ndarray, bbox: Sequence[float], others: np.ndarray | None = None) -> np.ndarray:
        """The object's mask, bool (h, w): the initial mask itself, within its bounds, if object or background have too few pixels.

        Args:
            image: RGB uint8 (h, w, 3).
            mask: initial mask, bool (h, w); an empty one stands for the whole box.
            bbox: box of the object.
            others: bool (h, w), pixels that belong to other objects.

        >>> image = np.zeros((20, 30, 3), np.uint8); image[5:15, 10:20] = 250
        >>> guess = np.zeros((20, 30), bool); guess[5:12, 9:17] = True
        >>> cut = GrabCut()(image, guess, (9, 4, 21, 16))
        >>> bool(cut[5:15, 10:20].all()), int(cut.sum())
        (True, 100)
        """
        seeds = self._seeds(mask, bbox, others)
        ratio = min(1.0, (self.max_size or max(mask.shape)) / max(mask.shape))
        small = tuple(max(1, round(side * ratio)) for side in mask.shape[::-1])
        if small != mask.shape[::-1]:
            image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            seeds = cv2.resize(seeds, small, interpolation=cv2.INTER_NEAREST)
        cut = self._cut(np.ascontiguousarray(image), seeds)
        return cut if cut.shape == mask.shape else cv2.resize(cut.astype(np.float32), mask.shape[::-1]) > 0.5

    def boxes_and_masks(
        self, image: np.ndarray, guesses: np.ndarray, bboxes: Tensor, others: Sequence[np.ndarray | None] | None = None
    ) -> tuple[Tensor, np.ndarray]:
        """Boxes (n, 4) of the largest components of several objects' cuts, and the cuts, bool (n, h, w), computed on all cores.

        Box and mask are kept if the cut is empty or elsewhere (IoU below 0.1); ``moves_boxes`` says how far other boxes move.

        Args:
            image: RGB uint8 (h, w, 3).
            guesses: soft masks, float (n, h, w) in [0, 1]; pixels above 0.5 are the initial mask.
            bboxes: float (n, 4), on the CPU.
            others: bool (n, h, w), for each object the pixels of other objects.

        >>> image = np.zeros((20, 30, 3), np.uint8); image[5:15, 10:20] = 250
        >>> boxes, masks = GrabCut().boxes_and_masks(image, image[None, ..., 0] / 255, torch.tensor([[8.0, 3, 21, 16]]))
        >>> boxes.tolist(), int(masks.sum())
        ([[10.0, 5.0, 20.0, 15.0]], 100)
        """
        bboxes, masks = bboxes.clone(), guesses > 0.5
        others = [None] * len(masks) if others is None else others

        def cut(mask: np.ndarray, bbox: Tensor, belongs: np.ndarray | None) -> tuple[Tensor, np.ndarray]:
            return mask_bbox(self(image, mask, bbox.tolist(), belongs), bbox)

        with timed('cut'), ThreadPoolExecutor(torch.get_num_threads()) as pool:  # OpenCV releases the GIL
            for index, (tight, found) in enumerate(pool.map(cut, masks.copy(), bboxes.clone(), others)):
                if not found.any():
                    continue
                filled, whole = ((box[2:] - box[:2]).prod() for box in (tight, bboxes[index]))
                if filled < self.min_fill * whole:
                    bboxes[index], _ = mask_bbox(masks[index], bboxes[index], 0.0)
                masks[index], bboxes[index] = found, bboxes[index].lerp(tight, float(self.moves_boxes))
        return bboxes, masks

    def _seeds(self, mask: np.ndarray, bbox: Sequence[float], others: np.ndarray | None) -> np.ndarray:
        """The initial labels for OpenCV, uint8 (h, w): probable object, probable background, certain background."""
        guess = mask if mask.any() else inside_box(mask.shape, bbox)
        seeds = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        if others is not None:
            seeds[others] = cv2.GC_BGD
        seeds[~inside_box(mask.shape, bbox, self.margin)] = cv2.GC_BGD
        return seeds

    def _cut(self, image: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        count = int((seeds == cv2.GC_PR_FGD).sum())
        if min(count, seeds.size - count) >= COMPONENTS:
            cv2.setRNGSeed(0)  # the mixtures are initialised from random pixels
            models = np.zeros((2, 1, 65))
            cv2.grabCut(image, seeds, None, models[0], models[1], self.iterations, cv2.GC_INIT_WITH_MASK)
        return seeds == cv2.GC_PR_FGD

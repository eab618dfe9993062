"""Refinement of an object by colour: a minimum cut through superpixels.

As in GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004), two mixtures of Gaussians model the colours inside and outside an initial mask,
and a minimum cut separates object and background along image edges. As in Lazy Snapping (Li, Sun, Tang and Shum, SIGGRAPH 2004), it assigns
superpixels instead of pixels, which takes a fraction of the time. With colours c_i of pixels i in superpixels s(i), it minimises ::

    - sum_i [log p(c_i | x_s(i)) + lambda * log q_i(x_s(i))]
    + gamma * sum_ij [x_s(i) != x_s(j)] exp(-(c_i - c_j)^2 / 2 mean (c_i - c_j)^2) / |i - j|

over x in {object, background}, where the last sum is over all pairs of 8 neighbours, and q_i(object) is a soft mask: the probability that
pixel i is part of the object.

Shapes: n objects of one image (h, w). Boxes: float xyxy in pixels of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmdet.structures.bbox import bbox_overlaps
from scipy.special import logit
from torch import Tensor

from mmlabelpenet.calibration.objects import inside_box, mask_bbox
from mmlabelpenet.registry import TASK_UTILS
from mmlabelpenet.schema import check_range
from mmlabelpenet.timing import timed
from mmlabelpenet.workbench.variants.superpixels import COMPONENTS, scaled, superpixels

UNSURE = 0.02  # probabilities of a soft mask are clipped to [UNSURE, 1 - UNSURE]


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
        min_fill: minimum share of the object's box that the box of its cut must fill. Below it, the object's box is too large and is first
            replaced by the box of the initial mask.
        prior: lambda, the weight of a soft mask; 0 uses colours alone.
        from_box: boxes move to a second cut, which starts from the whole box and uses colours alone.
    """

    size: int = 4
    smoothness: float = 25.0
    margin: float = 0.1
    max_size: int | None = 300
    moves_boxes: float = 0.75
    min_fill: float = 0.0
    prior: float = 0.0
    from_box: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        check_range(1, size=self.size, max_size=self.max_size)
        if not isinstance(self.size, int):
            raise ValueError(f'size is a number of pixels, such as 4, got {self.size!r}.')
        check_range(0, 1e6, smoothness=self.smoothness)
        check_range(0, margin=self.margin, prior=self.prior)
        check_range(0, 1, moves_boxes=self.moves_boxes, min_fill=self.min_fill)

    def boxes_and_masks(
        self,
        image: np.ndarray,
        masks: np.ndarray,
        bboxes: Tensor,
        others: Sequence[np.ndarray] | None = None,
        cores: np.ndarray | None = None,
        soft: np.ndarray | None = None,
    ) -> tuple[Tensor, np.ndarray]:
        """Boxes (n, 4) of the largest components of several objects' cuts, and the cuts, bool (n, h, w).

        A box or mask is kept if its cut is empty or elsewhere (IoU below 0.1); ``moves_boxes`` says how far other boxes move.

        Args:
            image: RGB uint8 (h, w, 3).
            masks: initial masks, bool (n, h, w).
            bboxes: float (n, 4), on the CPU.
            others: bool (n, h, w), for each object the pixels of other objects.
            cores: bool (n, h, w), masks from which the cuts start; None starts from the initial ones.
            soft: float (n, h, w) in [0, 1], the probability that a pixel is part of the object; None uses colours alone.

        >>> image = np.zeros((20, 30, 3), np.uint8); image[5:15, 10:20] = 250
        >>> boxes, masks = SuperpixelCut(moves_boxes=1).boxes_and_masks(image, image[None, ..., 0] > 0, Tensor([[8, 3, 21, 16]]))
        >>> boxes.tolist(), int(masks.sum())
        ([[10.0, 5.0, 20.0, 15.0]], 100)
        """
        bboxes, masks = bboxes.clone(), masks.copy()
        with timed('cut'):
            for index, bbox in enumerate(bboxes.clone()):
                core = masks[index] if cores is None else cores[index]
                rest, likely = (None if each is None else each[index] for each in (others, soft))
                tight, found = mask_bbox(self(image, core, bbox.tolist(), rest, likely), bbox, 0.0)
                filled, whole = ((box[2:] - box[:2]).prod() for box in (tight, bbox))
                if filled < self.min_fill * whole:
                    bbox, _ = mask_bbox(core, bbox, 0.0)
                near = found.any() and bbox_overlaps(tight[None], bbox[None]).item() >= 0.1
                if near:
                    masks[index] = found
                if self.from_box:
                    tight, found = mask_bbox(self(image, np.zeros_like(core), bbox.tolist(), rest), bbox, 0.1)
                    near = found.any()
                if near:
                    bboxes[index] = bbox.lerp(tight, float(self.moves_boxes))
        return bboxes, masks

    def __call__(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        bbox: Sequence[float],
        others: np.ndarray | None = None,
        soft: np.ndarray | None = None,
    ) -> np.ndarray:
        """The object's mask, bool (h, w): the initial mask itself, within its bounds, if object or background have too few pixels.

        Args:
            image: RGB uint8 (h, w, 3).
            mask: initial mask, bool (h, w); an empty one stands for the whole box.
            bbox: box of the object.
            others: bool (h, w), pixels that belong to other objects.
            soft: float (h, w) in [0, 1], the probability that a pixel is part of the object, which the prior weighs.

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
        size = tuple(max(1, round(side * ratio)) for side in mask.shape)
        small, inside = scaled(guess, size), scaled(allowed, size)
        if min(np.count_nonzero(small), small.size - np.count_nonzero(small)) < COMPONENTS:
            return guess
        parts = superpixels(image.tobytes(), mask.shape, size, self.size)
        evidence = parts.log_odds(small)
        if self.prior and soft is not None:
            likely = np.nan_to_num(scaled(soft.astype(np.float32), size), nan=0.5).clip(UNSURE, 1 - UNSURE)
            evidence += self.prior * parts.total(logit(likely))
        chosen = parts.minimum_cut(evidence, parts.mean(~inside) > 0.5, self.smoothness)
        return scaled(chosen[parts.labels], mask.shape) & allowed

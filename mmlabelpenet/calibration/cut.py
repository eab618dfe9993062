"""Refinement of objects by colour ("cuts") after the CRF: not part of the paper, and off unless a config sets it.

The dense CRF (Fig. 2c) makes neighbouring pixels of the same colour agree, but it has no model of the object's colours. A *cut* has one.
The available cuts are :class:`~mmlabelpenet.workbench.variants.grab_cut.GrabCut` and
:class:`~mmlabelpenet.workbench.variants.colour_cut.ColourCut`.

Shapes: n objects of one image (h, w). Boxes: float xyxy in its pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mmlabelpenet.registry import TASK_UTILS


def build_cuts(settings: dict | Sequence[dict] | None) -> tuple[Any, ...]:
    """Build cuts from a config with one dict per cut: arguments of :class:`GrabCut` or, with a ``type``, of another class in TASK_UTILS,
    such as :class:`ColourCut`.

    :class:`ColourCut` takes a fifteenth of the time and gives better boxes; :class:`GrabCut` follows borders more closely.

    >>> build_cuts([dict(type='ColourCut', size=96), dict(iterations=1)])[1].iterations, build_cuts(None)
    (1, ())
    """
    several = [settings] if isinstance(settings, dict) else settings or ()
    return tuple(TASK_UTILS.build(dict(type='SuperpixelCut') | each) for each in several)


def cut_out(
    cuts: Sequence[Any], image: np.ndarray, guesses: np.ndarray, bboxes: Tensor, others: np.ndarray | None = None
) -> tuple[Tensor, np.ndarray]:
    """Apply cuts one after the other, each starting from the result of the previous one; returns boxes (n, 4) and masks bool (n, h, w).

    Args:
        cuts: without any, boxes are unchanged and masks are thresholded at 0.5.
        image, guesses, bboxes, others: as for ``boxes_and_masks``.
    """
    masks = guesses > 0.5
    for cut in cuts:
        bboxes, masks = cut.boxes_and_masks(image, guesses, bboxes, others)
        guesses = masks.astype(np.float32)
    return bboxes, masks

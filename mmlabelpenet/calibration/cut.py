"""Refinement of objects by colour ("cuts") after the CRF: not part of the paper, and off unless a config sets it.

The dense CRF (Fig. 2c) makes neighbouring pixels of the same colour agree, but it has no model of the object's colours. A *cut* has one.
"""

from typing import Any

from mmlabelpenet.registry import TASK_UTILS


def build_cut(settings: dict | None) -> Any:
    """Build a cut from a dict of its arguments; without a ``type``, it is a
    :class:`~mmlabelpenet.workbench.variants.superpixel_cut.SuperpixelCut`.

    >>> build_cut(dict(margin=0.2)).margin, build_cut(None)
    (0.2, None)
    """
    return None if settings is None else TASK_UTILS.build(dict(type='SuperpixelCut') | settings)

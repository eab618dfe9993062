"""Weakly supervised instance segmentation from image tags: Label-PEnet (ICCV 2019) on MMDetection."""

from . import ops

__version__ = '0.1.0'

ops.install()

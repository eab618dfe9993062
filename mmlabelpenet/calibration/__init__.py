"""Fig. 2 from left to right: objects → excitation → attention → CRF → label generators; and the labels of backward validation.

"Choice C5" in a docstring refers to ``docs/choices.md``.
"""

from .backward import DetectionLabels
from .generators import MaskAggregation, ProposalCalibration

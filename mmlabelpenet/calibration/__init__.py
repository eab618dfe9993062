"""Fig. 2 from left to right: objects → excitation → attention → CRF → label generators; and the labels of backward validation."""

from .backward import DetectionLabels
from .colour_cut import ColourCut
from .cut import GrabCut
from .generators import MaskAggregation, ProposalCalibration

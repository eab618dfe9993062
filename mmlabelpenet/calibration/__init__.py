"""Fig. 2 from left to right: objects → excitation → attention → CRF → label generators; and the labels of backward validation."""

from .backward import DetectionLabels
from .generators import MaskAggregation, ProposalCalibration

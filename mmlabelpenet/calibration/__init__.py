"""Fig. 2 from left to right: objects → excitation → attention → CRF → label generators."""

from .generators import DetectionLabels, MaskAggregation, ProposalCalibration

__all__ = ['DetectionLabels', 'MaskAggregation', 'ProposalCalibration']

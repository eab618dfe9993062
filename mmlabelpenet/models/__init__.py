"""The network: start reading at ``label_penet.py``."""

from .aspp import ASPPTail
from .backbones import *  # noqa: F401,F403
from .data_preprocessor import InvertibleDataPreprocessor
from .label_penet import LabelPENet
from .mil_head import MILBBoxHead, MILRoIHead
from .mil_losses import MILSoftmaxLoss, WSDDNLoss
from .roi_extractors import LastMapRoIExtractor
from .weighted_heads import ObjectnessLoss, WeightedBBoxHead, WeightedMaskHead, WeightedRandomSampler, WeightedRPNHead
from .weights import ImageNetWeights

__all__ = [
    'ASPPTail',
    'ImageNetWeights',
    'InvertibleDataPreprocessor',
    'LabelPENet',
    'LastMapRoIExtractor',
    'MILBBoxHead',
    'MILRoIHead',
    'MILSoftmaxLoss',
    'ObjectnessLoss',
    'WSDDNLoss',
    'WeightedBBoxHead',
    'WeightedMaskHead',
    'WeightedRPNHead',
    'WeightedRandomSampler',
]

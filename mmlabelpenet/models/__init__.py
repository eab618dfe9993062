"""The network: start reading at ``label_penet.py``."""

from .backbones import *  # noqa: F401,F403
from .data_preprocessor import InvertibleDataPreprocessor
from .inference.tta import LabelPENetTTA
from .label_penet import LabelPENet
from .mil_head import MILBBoxHead, MILRoIHead
from .mil_losses import MILSigmoidLoss, MILSoftmaxLoss, WSDDNLoss
from .pooled_mil_head import CentredUnitNorm, PooledMILBBoxHead
from .roi_extractors import LastMapRoIExtractor
from .roi_means import MeanRoIExtractor
from .tag_head import TagHead
from .weighted_heads import ObjectnessLoss, WeightedBBoxHead, WeightedMaskHead, WeightedRandomSampler, WeightedRPNHead
from .weights import ImageNetWeights

__all__ = [
    'CentredUnitNorm',
    'MILSigmoidLoss',
    'ImageNetWeights',
    'InvertibleDataPreprocessor',
    'LabelPENet',
    'LabelPENetTTA',
    'LastMapRoIExtractor',
    'MILBBoxHead',
    'MILRoIHead',
    'MILSoftmaxLoss',
    'MeanRoIExtractor',
    'ObjectnessLoss',
    'PooledMILBBoxHead',
    'TagHead',
    'WSDDNLoss',
    'WeightedBBoxHead',
    'WeightedMaskHead',
    'WeightedRPNHead',
    'WeightedRandomSampler',
]

"""The network; ``label_penet.py`` is the entry point.

"Choice N4" in a docstring refers to ``docs/choices.md``; ``docs/paper_to_code.md`` lists the code of each section of the paper.
"""

from .backbones import VGG16C4, VGG16Tail
from .data_preprocessor import InvertibleDataPreprocessor
from .inference.tta import LabelPENetTTA
from .label_penet import LabelPENet
from .mil_head import MILBBoxHead, MILRoIHead
from .mil_losses import MILSoftmaxLoss
from .roi_extractors import LastMapRoIExtractor, SingleRoIExtractor
from .weighted_heads import ObjectnessLoss, WeightedBBoxHead, WeightedMaskHead, WeightedRandomSampler, WeightedRPNHead
from .weights import ImageNetWeights

"""Model parts beyond the paper's Label-PEnet: other backbones, heads and first-stage labels, refinement by colour, faster layers, and
baselines of the paper's tables.

Importing this package registers them; registries import it on demand.
"""

from .class_activation import ClassActivation
from .conv_mil_head import ConvMILBBoxHead
from .efficientnet_lite import EfficientNetLite0C4, EfficientNetLite0Tail
from .fast_layers import FastLayersHook
from .mil_losses import MILSigmoidLoss, WSDDNLoss
from .online_refinement import OICRBranches, PCLBranches
from .pooled_mil_head import CentredNorm, PooledMILBBoxHead
from .resnet import ResNetC4, ResNetC5
from .roi_means import MeanRoIExtractor
from .superpixel_cut import SuperpixelCut
from .tag_head import TagHead
from .tails import ASPPRoIExtractor, ASPPTail, IdentityTail

"""Backbones in two parts: the shared part, run once per image, and a tail per stage."""

from .efficientnet_lite import EfficientNetLite0C4, EfficientNetLite0Tail
from .resnet import ResNetC4, ResNetC5
from .tail import ASPPTail, IdentityTail
from .vgg import VGG16C4, VGG16Tail

__all__ = ['ASPPTail', 'EfficientNetLite0C4', 'EfficientNetLite0Tail', 'IdentityTail', 'ResNetC4', 'ResNetC5', 'VGG16C4', 'VGG16Tail']

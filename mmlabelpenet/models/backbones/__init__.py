"""Backbones in two parts: the shared part, run once per image, and a tail per stage."""

from .vgg import VGG16C4, VGG16Tail

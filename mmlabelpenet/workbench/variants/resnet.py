"""ResNet-50/101 in two parts: the shared conv1 to layer3 (C4), and a layer4 (C5) for each stage.

Both use mmdet's layers with torchvision's names. Batch normalisation keeps its ImageNet weights and statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from mmdet.models.backbones import ResNet
from mmdet.models.layers import ResLayer
from torch import Tensor

from mmlabelpenet.models.backbones.tail import Tail
from mmlabelpenet.models.weights import PUBLISHED, TORCHVISION, Names, Preset, Published
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants.fixed_norms import FixedNorms, default_init, freeze_norms, with_norm

_STRIDES = {16: ((1, 2, 2), (1, 1, 1)), 8: ((1, 2, 1), (1, 1, 2))}


@MODELS.register_module()
class ResNetC4(FixedNorms, ResNet):
    """The shared backbone: conv1 to layer3.

    Args:
        depth: 50 or 101.
        out_stride: 16, or 8, for which layer3 keeps the resolution and is dilated.
        style: 'caffe' (stride in the first 1x1) or 'pytorch' (stride in the 3x3).
        frozen_stages: -1 freezes nothing, 0 the stem, 1..3 also the layers up to that one.
        init_cfg: how to initialise; Kaiming if None.

    Raises:
        ValueError: ``out_stride`` is neither 8 nor 16, or ``style`` is unknown.

    >>> ResNetC4(50)(torch.zeros(1, 3, 32, 64))[0].shape
    torch.Size([1, 1024, 2, 4])
    """

    out_channels = (1024,)

    def __init__(
        self,
        depth: int = 50,
        out_stride: int = 16,
        style: str = 'caffe',
        frozen_stages: int = -1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if out_stride not in _STRIDES:
            raise ValueError(f'out_stride of ResNetC4 must be 8 or 16, got {out_stride}.')
        _check_style(style)
        strides, dilations = _STRIDES[out_stride]
        super().__init__(
            depth,
            num_stages=3,
            strides=strides,
            dilations=dilations,
            out_indices=(2,),
            style=style,
            frozen_stages=frozen_stages,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
            init_cfg=init_cfg,
        )
        self.out_stride = out_stride
        self.train()


@MODELS.register_module()
class ResNetC5(FixedNorms, Tail):
    """layer4 of one stage, without stride by default, optionally with ASPP.

    Args:
        depth: 50 or 101.
        stride: 1, or 2 as published.
        dilation: 2 with stride 1, 1 with stride 2.
        style: as in :class:`ResNetC4`.
        with_input, aspp, frozen: as for :meth:`Tail.complete`.
        init_cfg: how to initialise; Kaiming if None.

    >>> ResNetC5()((torch.zeros(1, 1024, 4, 3),))[0].shape
    torch.Size([1, 2048, 4, 3])
    """

    def __init__(
        self,
        depth: int = 50,
        stride: int = 1,
        dilation: int = 2,
        style: str = 'caffe',
        with_input: bool = False,
        aspp: dict | None = None,
        frozen: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or default_init())
        _check_style(style)
        block, blocks = ResNet.arch_settings[depth]
        self.layer4 = ResLayer(block, 1024, 512, blocks[3], stride=stride, dilation=dilation, style=style, norm_cfg=dict(type='BN'))
        freeze_norms(self)
        self.complete(1024, 2048, aspp, with_input, frozen)

    def levels(self, x: Tensor) -> list[Tensor]:
        """C4 itself (N, 1024, h, w), then the output of each block of C5 (N, 2048, h, w)."""
        maps = [x]
        for block in self.layer4:
            maps.append(block(maps[-1]))
        return maps


def _check_style(style: str) -> None:
    if style not in ('caffe', 'pytorch'):
        raise ValueError(f"style must be 'caffe' (stride in the first 1x1) or 'pytorch' (stride in the 3x3), got {style!r}.")


def _published_names(state: Iterable[str], blocks_of_layers: Sequence[int]) -> Names:
    names = with_norm('backbone', [('conv1', 'bn1')])
    for layer, blocks in enumerate(blocks_of_layers, 1):
        for here in (f'layer{layer}.{block}' for block in range(blocks)):
            pairs = [(f'{here}.conv{i}', f'{here}.bn{i}') for i in (1, 2, 3)]
            pairs += [(f'{here}.downsample.0', f'{here}.downsample.1')] if here.endswith('.0') else []
            names |= with_norm('tail' if layer == 4 else 'backbone', pairs)
    return names, {'fc.weight', 'fc.bias'}


for _depth in (50, 101):
    PUBLISHED[f'resnet{_depth}'] = Published(
        {'caffe': Preset('bgr', (103.939, 116.779, 123.68), (1, 1, 1)), 'torchvision': TORCHVISION},
        partial(_published_names, blocks_of_layers=ResNet.arch_settings[_depth][1]),
    )

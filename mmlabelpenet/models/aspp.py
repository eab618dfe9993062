"""Atrous spatial pyramid pooling (paper Sec. 4.1; DeepLab v3) without image pooling and without normalisation."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class LabelPEASPP(BaseModule):
    """Parallel convolutions with several dilations, merged by a 1x1 convolution; each is followed by a ReLU.

    Paper: the text gives only the dilations. As in DeepLab v3, the branch with dilation 1 is a 1x1 convolution; image pooling and batch
        normalisation are omitted, since the statistics of two images per batch are not useful.

    Args:
        in_channels, channels, out_channels: channels of the input map, of each branch, and of the output.
        dilations: one branch each.
        init_cfg: initialisation; N(0, 0.01) if None.

    >>> LabelPEASPP(8, 4, 6)(torch.zeros(1, 8, 5, 7)).shape
    torch.Size([1, 6, 5, 7])
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        out_channels: int = 256,
        dilations: Sequence[int] = (1, 2, 4, 6),  # Sec. 4.1
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Conv2d', std=0.01))
        self.out_channels = out_channels
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, channels, 1) if d == 1 else nn.Conv2d(in_channels, channels, 3, padding=d, dilation=d) for d in dilations
        )
        self.fuse = nn.Conv2d(channels * len(dilations), out_channels, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, out_channels, h, w), not negative."""
        return self.relu(self.fuse(torch.cat([self.relu(branch(x)) for branch in self.branches], 1)))

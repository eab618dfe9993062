"""VGG-16 in two parts (paper Sec. 4.1): the shared one to relu4_3, and a tail pool4 | conv5 for each stage.

Parameters have the names of the Caffe model (``conv1_1`` ... ``conv5_3``).

Shapes: N images of (h, w) pixels. All maps have stride 8 unless said otherwise and are not negative.
"""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlabelpenet.models.backbones.tail import Tail
from mmlabelpenet.registry import MODELS

_WIDTHS = ((64, 2), (128, 2), (256, 3), (512, 3))


@MODELS.register_module()
class VGG16C4(BaseModule):
    """The shared backbone: VGG-16 without the layers after relu4_3.

    Args:
        frozen_stages: number of the four convolutional stages that are always frozen, 0 to 4.
        init_cfg: initialisation, usually ``dict(type='ImageNetWeights', arch='vgg16', part='backbone', ...)``; Kaiming if None.

    >>> VGG16C4()(torch.zeros(1, 3, 32, 48))[0].shape
    torch.Size([1, 512, 4, 6])
    """

    out_channels = (512,)
    out_stride = 8

    def __init__(self, frozen_stages: int = 0, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        if not 0 <= frozen_stages <= len(_WIDTHS):
            raise ValueError(f'frozen_stages of VGG16C4 must be in 0..{len(_WIDTHS)}, got {frozen_stages}.')
        channels = 3
        for stage, (width, count) in enumerate(_WIDTHS, 1):
            for index in range(1, count + 1):
                conv = nn.Conv2d(channels, width, 3, padding=1).requires_grad_(stage > frozen_stages)
                self.add_module(f'conv{stage}_{index}', conv)
                channels = width
        self.pool = nn.MaxPool2d(2, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Images (N, 3, h, w) to ``(relu4_3,)``, float (N, 512, h / 8, w / 8)."""
        for stage, (_, count) in enumerate(_WIDTHS, 1):
            for index in range(1, count + 1):
                x = self.relu(getattr(self, f'conv{stage}_{index}')(x))
            if stage < len(_WIDTHS):
                x = self.pool(x)
        return (x,)


@MODELS.register_module()
class VGG16Tail(Tail):
    """The layers pool4 and conv5_1 to conv5_3 of one stage, optionally with ASPP.

    Paper: relu5_3 must have stride 8, so pool4 is 3x3 with stride 1 and padding 1, and conv5 has dilation 2.

    Args:
        pool4_stride: 1 as above; 2 is the pool4 of the published network (2x2, stride 2), for use with ``dilation=1``.
        dilation: dilation of conv5.
        with_pool4: also return pool4, which the detection branches of stages 3 and 4 read.
        aspp: as for :meth:`Tail.complete`, on relu5_3.
        init_cfg: as for :class:`VGG16C4`.

    >>> tail = VGG16Tail(with_pool4=True, aspp=dict(out_channels=16))
    >>> [tuple(x.shape) for x in tail((torch.zeros(1, 512, 4, 6),))]
    [(1, 512, 4, 6), (1, 16, 4, 6)]
    """

    def __init__(
        self,
        pool4_stride: int = 1,
        dilation: int = 2,
        with_pool4: bool = False,
        aspp: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        if pool4_stride not in (1, 2):
            raise ValueError(f'pool4_stride of VGG16Tail must be 1 (3x3, padding 1) or 2 (2x2), got {pool4_stride}.')
        self.pool4 = nn.MaxPool2d(3, 1, padding=1) if pool4_stride == 1 else nn.MaxPool2d(2, 2)
        for index in (1, 2, 3):
            self.add_module(f'conv5_{index}', nn.Conv2d(512, 512, 3, padding=dilation, dilation=dilation))
        self.relu = nn.ReLU(inplace=True)
        self.complete(512, 512, aspp, with_input=with_pool4)

    def entry(self, x: Tensor) -> Tensor:
        """pool4 of relu4_3, float (N, 512, h, w)."""
        return self.pool4(x)

    def levels(self, x: Tensor) -> list[Tensor]:
        """pool4, relu5_1, relu5_2 and relu5_3, float (N, 512, h, w) each, of pool4."""
        maps = [x]
        for index in (1, 2, 3):
            maps.append(self.relu(getattr(self, f'conv5_{index}')(maps[-1])))
        return maps

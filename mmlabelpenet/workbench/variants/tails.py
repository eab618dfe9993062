"""Tails for models that train on a CPU, and ASPP in the RoI extractor instead of the tail (choice N6)."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mmlabelpenet.models.aspp import LabelPEASPP
from mmlabelpenet.models.backbones.tail import Tail
from mmlabelpenet.models.roi_extractors import LastMapRoIExtractor
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class ASPPTail(Tail):
    """A tail that consists only of ASPP, for models that train on a CPU: ``(input map, its ASPP)``.

    Args:
        in_channels: channels of the shared map.
        channels, out_channels, dilations, init_cfg: as for :class:`LabelPEASPP`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        out_channels: int = 256,
        dilations: Sequence[int] = (1, 2, 4, 6),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__()
        aspp = dict(channels=channels, out_channels=out_channels, dilations=dilations, init_cfg=init_cfg)
        self.complete(in_channels, in_channels, aspp=aspp, with_input=True)

    def levels(self, x: Tensor) -> list[Tensor]:
        """The map itself."""
        return [x]


@MODELS.register_module()
class IdentityTail(BaseModule):
    """No tail: the stage reads the shared map itself."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """The map in a tuple, as returned by backbones."""
        return (x,)


@MODELS.register_module()
class ASPPRoIExtractor(LastMapRoIExtractor):
    """ASPP on each RoI instead of on the whole map (choice N6), for a tail without ``aspp``.

    Args:
        aspp: arguments of :class:`LabelPEASPP` except ``in_channels``; its ``out_channels`` are the mask head's ``in_channels``.
        out_channels: channels of the tail's last map, as in mmdet.
        **kwargs: as for :class:`LastMapRoIExtractor`.

    >>> roi_layer = dict(type='RoIAlign', output_size=14)
    >>> extractor = ASPPRoIExtractor(dict(channels=4, out_channels=6), 8, featmap_strides=[8], roi_layer=roi_layer)
    >>> extractor((torch.zeros(1, 8, 30, 40),), torch.tensor([[0.0, 16, 16, 96, 120]])).shape
    torch.Size([1, 6, 14, 14])
    """

    def __init__(self, aspp: dict, out_channels: int, **kwargs) -> None:
        super().__init__(out_channels=out_channels, **kwargs)
        self.aspp = LabelPEASPP(out_channels, **aspp)

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """RoI features (S, D, p, p) of RoIs (S, 5)."""
        return self.aspp(super().forward(feats, rois, roi_scale_factor))

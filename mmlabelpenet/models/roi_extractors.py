"""RoI features of the branch that reads the last of a tail's maps (paper Sec. 4.1, instance refinement and segmentation)."""

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmlabelpenet.models.aspp import LabelPEASPP
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class LastMapRoIExtractor(SingleRoIExtractor):
    """Read the last map instead of the first: the tail gives ``(pool4, ASPP(relu5_3))``, masks come from the second.

    Args:
        featmap_strides: one stride per map of the tail; only the last map is read.
        **kwargs: of mmdet's ``SingleRoIExtractor``.
    """

    def __init__(self, featmap_strides: list[int], **kwargs) -> None:
        super().__init__(featmap_strides=featmap_strides[-1:], **kwargs)
        self.maps = len(featmap_strides)

    @property
    def num_inputs(self) -> int:
        """How many of the tail's maps are handed in."""
        return self.maps

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """RoI features (S, D, p, p) of RoIs (S, 5)."""
        return super().forward(feats[-1:], rois, roi_scale_factor)


@MODELS.register_module()
class ASPPRoIExtractor(LastMapRoIExtractor):
    """The pyramid on each RoI instead of on the whole map (row N6), for a tail without ``aspp``.

    Args:
        aspp: arguments of :class:`LabelPEASPP` other than ``in_channels``; its ``out_channels`` are the mask head's ``in_channels``.
        out_channels: of the tail's last map, as in mmdet.
        **kwargs: of :class:`LastMapRoIExtractor`.

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

"""RoI extractors; in refinement and segmentation, one branch reads the last map of the tail (paper Sec. 4.1)."""

from mmdet.models.roi_heads import roi_extractors
from torch import Tensor, nn

from mmlabelpenet.ops.roi_pool import RoIPool
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class SingleRoIExtractor(roi_extractors.SingleRoIExtractor):
    """mmdet's extractor, with a RoIPool that gives the same features in every installation: :class:`~mmlabelpenet.ops.roi_pool.RoIPool`."""

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: list[int]) -> nn.ModuleList:
        """As in mmdet."""
        layer_cfg = dict(layer_cfg, type=RoIPool) if layer_cfg['type'] == 'RoIPool' else layer_cfg
        return super().build_roi_layers(layer_cfg, featmap_strides)


@MODELS.register_module()
class LastMapRoIExtractor(SingleRoIExtractor):
    """Read the last map instead of the first: the tail returns ``(pool4, ASPP(relu5_3))``, and masks use the second.

    Args:
        featmap_strides: one stride per map of the tail; only the last map is read.
        **kwargs: as for :class:`SingleRoIExtractor`.
    """

    def __init__(self, featmap_strides: list[int], **kwargs) -> None:
        super().__init__(featmap_strides=featmap_strides[-1:], **kwargs)
        self.maps = len(featmap_strides)

    @property
    def num_inputs(self) -> int:
        """Number of input maps."""
        return self.maps

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """RoI features (S, D, p, p) of RoIs (S, 5)."""
        return super().forward(feats[-1:], rois, roi_scale_factor)

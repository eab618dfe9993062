"""RoI features of the branch that reads the last of a tail's maps (paper Sec. 4.1, instance refinement and segmentation)."""

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

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

"""Spatial means of RoI features without computing the features: RoIAlign and the average over its grid as one matrix product.

RoIAlign's samples lie on a grid, and bilinear interpolation is separable. The mean over all samples of a RoI is therefore

    mean_r = sum_yx a_r(y) b_r(x) F(y, x)

where a_r and b_r are the means of the samples' interpolation weights along each axis: one matrix product for all RoIs.

Shapes: N images, R RoIs, D channels, (H, W) map, (p, p) RoI grid. RoIs: float (R, 5), image index and xyxy in pixels of the network input.
"""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmlabelpenet.ops.roi_products import bin_weights
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class MeanRoIExtractor(SingleRoIExtractor):
    """mmdet's extractor on one map, which can also compute the spatial means of RoIs, in a fraction of the time.

    Args:
        **kwargs: as for mmdet's ``SingleRoIExtractor``.

    Raises:
        ValueError: more than one map, or not an averaging RoIAlign with a fixed sampling ratio.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        layer = self.roi_layers[0]
        if len(self.roi_layers) != 1 or getattr(layer, 'sampling_ratio', 0) < 1 or layer.pool_mode != 'avg':
            raise ValueError(
                'MeanRoIExtractor takes one map and a RoIAlign that averages with a sampling_ratio of at least 1, got '
                f'{len(self.roi_layers)} maps and {layer}.'
            )

    def means(self, feats: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Means of :meth:`forward`'s result over the grid, float (R, D, 1, 1).

        Args:
            feats: one map, float (N, D, H, W).
            rois: float (R, 5).
        """
        (feature,), layer = feats, self.roi_layers[0]
        boxes = rois[:, 1:].to(feature.dtype) * layer.spatial_scale
        rows, columns = (
            bin_weights(boxes[:, axis], boxes[:, axis + 2], bins, layer.sampling_ratio, size, layer.aligned).mean(1)
            for axis, bins, size in zip((1, 0), layer.output_size, feature.shape[2:], strict=True)
        )
        weights = (rows[:, :, None] * columns[:, None, :]).flatten(1)
        cells = feature.flatten(2).transpose(1, 2)
        images, counts = rois[:, 0].long().unique_consecutive(return_counts=True)  # RoIs are ordered by image
        parts = [own @ cells[image] for own, image in zip(weights.split(counts.tolist()), images.tolist(), strict=True)]
        return torch.cat([cells[0, :0], *parts])[..., None, None]

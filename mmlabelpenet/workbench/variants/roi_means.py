"""Means of RoI features without the features: RoIAlign and the average over its grid as one matrix product.

RoIAlign's samples lie on a grid, and bilinear interpolation is a product of two axes. The mean over all samples of a RoI is therefore

    mean_r = sum_yx a_r(y) b_r(x) F(y, x)

with a_r and b_r the means of the samples' interpolation weights along each axis: with all RoIs in the rows of a matrix, one product.

Shapes: N images, R RoIs, D channels, (H, W) map, (p, p) RoI grid. RoIs: float (R, 5), image index and xyxy in pixels of the network input.
"""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmlabelpenet.ops.roi_products import bin_weights
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class MeanRoIExtractor(SingleRoIExtractor):
    """mmdet's extractor on one map, which also gives the means of its RoIs, in a small part of the time.

    Args:
        **kwargs: of mmdet's ``SingleRoIExtractor``.

    Raises:
        ValueError: more than one map, or no RoIAlign of a fixed sampling ratio that averages.
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
        """Means over the grid of :meth:`forward`'s result, float (R, D, 1, 1).

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
        images, counts = rois[:, 0].long().unique_consecutive(return_counts=True)  # RoIs come image by image
        parts = [own @ cells[image] for own, image in zip(weights.split(counts.tolist()), images.tolist(), strict=True)]
        return torch.cat([cells[0, :0], *parts])[..., None, None]

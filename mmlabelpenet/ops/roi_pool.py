"""RoIPool as Fast R-CNN defines it, whether or not mmcv has its compiled extension, whose kernel does not round the borders of boxes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmlabelpenet.ops.torchvision_kernels import roi_pool_backward, roi_pool_forward


class RoIPool(nn.Module):
    """The maximum of each bin of a RoI; borders of boxes are rounded to cells, both included.

    Args:
        output_size: (ph, pw), or one number for both.
        spatial_scale: cells per pixel of the RoIs.

    >>> RoIPool(1)(torch.arange(16.0).view(1, 1, 4, 4), torch.tensor([[0, 0.6, 0.6, 1.6, 2.4]])).flatten().tolist()
    [10.0]
    """

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float = 1.0) -> None:
        super().__init__()
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        self.spatial_scale = spatial_scale

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        """Pool RoIs (R, 5) of ``(image, x1, y1, x2, y2)`` from a map (N, C, h, w); (R, C, ph, pw)."""
        return _RoIPool.apply(feature, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        """The constructor arguments."""
        return f'output_size={self.output_size}, spatial_scale={self.spatial_scale}'


class _RoIPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor, rois: Tensor, size: tuple[int, int], scale: float) -> Tensor:
        pooled = feature.new_zeros(len(rois), feature.shape[1], *size)
        places = pooled.new_zeros(pooled.shape, dtype=torch.int)
        roi_pool_forward(feature, rois, pooled, places, *size, scale)
        ctx.save_for_backward(rois, places)
        ctx.shape, ctx.bins = feature.shape, (*size, scale)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        rois, places = ctx.saved_tensors
        total = gradient.new_zeros(ctx.shape)
        roi_pool_backward(gradient.contiguous(), rois, places, total, *ctx.bins)
        return total, None, None, None

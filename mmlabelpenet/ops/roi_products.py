"""The gradient of RoIAlign as matrix products: for small maps on a CPU, several times faster than torchvision's kernel.

RoIAlign's samples lie on a grid, and bilinear interpolation is a product of two axes. With the mean interpolation weights of the samples of
each bin along the rows, a (R, ph, H), and along the columns, b (R, pw, W),

    aligned_r = a_r F b_r^T, so that dF = sum_r a_r^T d(aligned_r) b_r        for each channel of the map F (H, W)

The products visit every cell of the map for each RoI, whereas the kernel visits only a few, so they pay off for small maps.

Shapes: N maps of D channels and (H, W) cells, R RoIs, (ph, pw) RoI grid. RoIs: float (R, 5), image index and xyxy in pixels.
"""

import torch
from torch import Tensor

SMALL = 2500  # maximum number of map cells for which products are faster
_ROIS = 64  # RoIs processed at a time: the intermediate result takes ph * D * W floats per RoI


def bin_weights(low: Tensor, high: Tensor, bins: int, samples: int, size: int, aligned: bool = False) -> Tensor:
    """Mean bilinear weight of each of ``size`` cells in each bin along one axis, float (R, bins, size).

    Args:
        low: start of each RoI in cells, float (R,), as RoIAlign counts them.
        high: end, float (R,).
        bins: of a RoI.
        samples: evenly spaced samples in each bin.
        size: cells.
        aligned: whether cell centres lie at half-integers, as RoIAlign's ``aligned``.

    >>> bin_weights(torch.tensor([0.0]), torch.tensor([2.0]), bins=1, samples=2, size=3).tolist()
    [[[0.25, 0.5, 0.25]]]
    """
    length = high - low if aligned else (high - low).clamp(min=1)
    centres = (torch.arange(bins * samples, device=low.device, dtype=low.dtype) + 0.5) / (bins * samples)
    places = low[:, None] + length[:, None] * centres - (0.5 if aligned else 0.0)
    inside = (places >= -1) & (places <= size)  # beyond, RoIAlign reads zero
    places = places.clamp(0, size - 1)
    distance = (places[..., None] - torch.arange(size, device=low.device, dtype=low.dtype)).abs()
    return ((1 - distance).clamp(min=0) * inside[..., None]).unflatten(1, (bins, samples)).mean(2)


def roi_align_gradient(gradient: Tensor, rois: Tensor, shape: torch.Size, scale: float, samples: int, aligned: bool) -> Tensor:
    """Gradient of the maps.

    Args:
        gradient: of the RoI features, float (R, D, ph, pw).
        rois: float (R, 5).
        shape: (N, D, H, W) of the maps.
        scale: cells per pixel.
        samples: per bin and axis, at least 1.
        aligned: as RoIAlign's.

    Returns:
        float (N, D, H, W).
    """
    (number, channels, height, width), grid = shape, gradient.shape[2:]
    total = gradient.new_zeros(number, height, channels * width)
    boxes = rois[:, 1:] * scale
    for image in rois[:, 0].unique().long().tolist():
        for own in (rois[:, 0] == image).nonzero().flatten().split(_ROIS):
            left, top, right, bottom = boxes[own].unbind(1)
            rows = bin_weights(top, bottom, grid[0], samples, height, aligned)
            columns = bin_weights(left, right, grid[1], samples, width, aligned)
            between = torch.bmm(gradient[own].transpose(1, 2).flatten(1, 2), columns)  # (r, ph * D, W)
            total[image].addmm_(rows.flatten(0, 1).T, between.view(len(own) * grid[0], -1))
    return total.unflatten(2, (channels, width)).transpose(1, 2)

"""Combine the maps of proposals into one map per object in the image (paper Sec. 3.2, Fig. 2a and 2c).

Shapes: R proposals, (p, p) RoI grid, K objects, (h, w) image.
Boxes: float xyxy in pixels of the (h, w) image.
"""

import torch
from torch import Tensor


def interpolation_weights(low: Tensor, high: Tensor, bins: int, size: int, mode: str = 'bilinear') -> Tensor:
    """Interpolation weights along one axis: how much each of ``bins`` cells adds to each of ``size`` pixels, float (R, size, bins).

    Intervals from ``low`` to ``high``, float (R,) in pixels, are extended to whole pixels. Inside, a pixel is interpolated between two cell
    centres (bilinear; beyond the outer centres the outer cell has weight 1) or takes one cell (nearest): rows sum to 1, and to 0 outside.

    >>> interpolation_weights(torch.tensor([1.0]), torch.tensor([3.0]), bins=2, size=4)[0].tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    low, high = low.floor().clamp(min=0), high.ceil().clamp(max=size)
    centres = torch.arange(size, device=low.device, dtype=low.dtype) + 0.5
    inside = (centres > low[:, None]) & (centres < high[:, None])
    cell = (centres - low[:, None]) / (high - low).clamp(min=1)[:, None] * bins - 0.5
    cell = cell.clamp(0, bins - 1)
    if mode == 'nearest':
        cell = cell.round()
    elif mode != 'bilinear':
        raise ValueError(f"Expected mode 'bilinear' or 'nearest', got {mode!r}.")
    distance = (cell[..., None] - torch.arange(bins, device=low.device, dtype=low.dtype)).abs()
    return (1 - distance).clamp(min=0) * inside[..., None]


def paste_attention(maps: Tensor, bboxes: Tensor, size: tuple[int, int], mode: str = 'bilinear') -> Tensor:
    """Add every proposal's map at its box in the image (choice C10).

    Pasting is separable, A = sum_r Y_r M_r X_r^T, so all proposals need only one matrix product: maps (R, p, p) at boxes (R, 4) in an image
    of size (h, w) give float (h, w).

    >>> paste_attention(torch.ones(2, 7, 7), torch.tensor([[0., 0, 2, 2], [1, 1, 3, 2]]), (3, 3)).tolist()
    [[1.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 0.0, 0.0]]
    """
    rows = interpolation_weights(bboxes[:, 1], bboxes[:, 3], maps.shape[1], size[0], mode)
    columns = interpolation_weights(bboxes[:, 0], bboxes[:, 2], maps.shape[2], size[1], mode)
    left = torch.bmm(rows, maps)
    return left.transpose(0, 1).reshape(size[0], -1) @ columns.permute(0, 2, 1).reshape(-1, size[1])


def class_attention(maps: Tensor, peak: float = 1.0) -> Tensor:
    """Scale maps (K, h, w) >= 0 to a peak of 1 (choice C11) and prepend the background A_0 = max(0, 1 - sum_l A_l).

    Returns float (K + 1, h, w) in [0, 1].

    The peak is a quantile of the positive attention (1 is the maximum); larger values are clipped to 1. Below 1, a few large values no
    longer turn the rest of the object into background.

    >>> class_attention(torch.tensor([[[2.0, 1.0, 0.0]]])).tolist()
    [[[0.0, 0.5, 1.0]], [[1.0, 0.5, 0.0]]]
    """
    scaled = maps.clone()
    for attention in scaled:
        positive = attention[attention > 0]
        if len(positive):
            attention.div_(positive.max() if peak == 1 else torch.quantile(positive, peak)).clamp_(max=1)
    return torch.cat([(1 - scaled.sum(0, keepdim=True)).clamp(min=0), scaled])

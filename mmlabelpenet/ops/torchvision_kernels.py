"""The functions of ``mmcv._ext`` that two-stage detectors and Mask2Former need, computed by torchvision and PyTorch.

Names and arguments match the calls in ``mmcv/ops/{nms,roi_align,roi_pool,multi_scale_deform_attn}.py``: results are written into the given
tensors, on their device. float16 and bfloat16 are computed in float32 and cast back.

Shapes: N maps of C channels and size (h, w), R RoIs as (image index, x1, y1, x2, y2), (ph, pw) RoI grid.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from mmlabelpenet.ops.roi_products import SMALL, roi_align_gradient

_ROIS_PER_THREAD = 32  # for fewer, pooling is faster than starting threads


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that survive non-maximum suppression, by descending score.

    Args:
        bboxes: float (R, 4), xyxy.
        scores: float (R,).
        iou_threshold: IoU with a higher-scoring box above which a box is removed.
        offset: 0 or 1, added to widths and heights.

    Returns:
        int64 (K,).

    >>> boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 8.], [20., 20., 29., 29.]])
    >>> nms(boxes, torch.tensor([.5, .9, .7]), 0.5, 0).tolist()
    [1, 2]
    """
    if offset:
        bboxes = bboxes + bboxes.new_tensor([0, 0, offset, offset])
    dtype = _compute_dtype(bboxes)
    return torch.ops.torchvision.nms(bboxes.to(dtype), scores.to(dtype), iou_threshold)


def softnms(
    boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float, sigma: float, min_score: float, method: int, offset: int
) -> Tensor:
    """Soft-NMS: the scores of overlapped boxes are reduced, and boxes below ``min_score`` are removed.

    As in mmcv, the first box is kept even if its score is below ``min_score``. Ties go to the first box in the input.

    Args:
        boxes: float (R, 4), xyxy.
        scores: float (R,).
        dets: float (R, 5), receives the K kept boxes and their new scores in its first rows.
        iou_threshold: IoU from which scores are reduced (methods 0 and 1).
        sigma: width of the Gaussian decay (method 2).
        min_score: minimum score of a kept box.
        method: 0 naive, 1 linear, 2 Gaussian.
        offset: 0 or 1, added to widths and heights.

    Returns:
        int64 (K,), indices of the kept boxes, in the order of selection.
    """
    boxes = boxes.to(_compute_dtype(boxes))
    low, high = boxes[:, :2], boxes[:, 2:] + offset
    areas = (high - low).prod(1)
    scores = scores.to(boxes, copy=True)
    rest = torch.ones_like(scores, dtype=torch.bool)  # boxes that are neither kept nor removed
    kept: list[Tensor] = []
    for place in range(len(boxes)):
        index = torch.where(rest, scores, -torch.inf).argmax()
        if not rest[index]:
            break
        dets[place, :4], dets[place, 4] = boxes[index], scores[index]
        kept.append(index)
        rest[index] = False
        shared = (torch.minimum(high, high[index]) - torch.maximum(low, low[index])).clamp_(min=0).prod(1)
        scores *= torch.where(rest, _decay(shared / (areas + areas[index] - shared), iou_threshold, sigma, method), 1)
        rest &= scores >= min_score
    return torch.stack(kept) if kept else rest.nonzero().flatten()


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write RoIAlign of ``input`` (N, C, h, w) at ``rois`` (R, 5) into ``output`` (R, C, ph, pw).

    Raises:
        NotImplementedError: ``pool_mode`` is 0 ('max'), which torchvision does not have.
    """
    if pool_mode != 1:
        raise NotImplementedError(
            "RoIAlign with pool_mode='max' needs mmcv's compiled extension, which is not installed; torchvision has pool_mode='avg' only."
        )
    dtype = _compute_dtype(input)
    size = (aligned_height, aligned_width)
    output.copy_(torch.ops.torchvision.roi_align(input.to(dtype), rois.to(dtype), spatial_scale, *size, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward` into ``grad_input`` (N, C, h, w)."""
    dtype = _compute_dtype(grad_output)
    if sampling_ratio > 0 and grad_input.device.type == 'cpu' and grad_input[0, 0].numel() <= SMALL:
        gradient = grad_output.to(dtype), rois.to(dtype)
        grad_input.copy_(roi_align_gradient(*gradient, grad_input.shape, spatial_scale, sampling_ratio, aligned))
        return
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output.to(dtype), rois.to(dtype), spatial_scale, aligned_height, aligned_width, *grad_input.shape, sampling_ratio, aligned
        )
    )


def roi_pool_forward(
    input: Tensor, rois: Tensor, output: Tensor, argmax: Tensor, pooled_height: int, pooled_width: int, spatial_scale: float
) -> None:
    """Write RoIPool of ``input`` (N, C, h, w) at ``rois`` (R, 5) into ``output`` and the positions of the maxima into ``argmax`` (R, C, ph,
    pw).

    ``argmax`` is the index into the (h * w) cells of the channel, -1 for an empty bin; :func:`roi_pool_backward` reads it. torchvision's
    CPU kernel uses one thread; here the RoIs are distributed over PyTorch's threads.
    """
    dtype = _compute_dtype(input)
    input, rois = input.to(dtype), rois.to(dtype)

    @torch.no_grad()  # a thread does not inherit the mode of the thread that starts it
    def pool(part: slice) -> None:
        pooled, where = torch.ops.torchvision.roi_pool(input, rois[part], spatial_scale, pooled_height, pooled_width)
        output[part].copy_(pooled)
        argmax[part].copy_(where)

    threads = torch.get_num_threads() if input.device.type == 'cpu' else 1
    if threads == 1 or len(rois) < _ROIS_PER_THREAD * threads:
        return pool(slice(None))
    step = -(-len(rois) // threads)
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(pool, [slice(start, start + step) for start in range(0, len(rois), step)]))


def roi_pool_backward(
    grad_output: Tensor, rois: Tensor, argmax: Tensor, grad_input: Tensor, pooled_height: int, pooled_width: int, spatial_scale: float
) -> None:
    """Write the gradient of :func:`roi_pool_forward` into ``grad_input`` (N, C, h, w).

    Under ``torch.use_deterministic_algorithms(True)``, which torchvision's CUDA kernel does not support, PyTorch's own addition is used.
    """
    dtype = _compute_dtype(grad_output)
    if torch.are_deterministic_algorithms_enabled():
        grad_input.copy_(_add_at(grad_output.to(dtype), rois, argmax, grad_input.shape))
        return
    grad_input.copy_(
        torch.ops.torchvision._roi_pool_backward(
            grad_output.to(dtype), rois.to(dtype), argmax, spatial_scale, pooled_height, pooled_width, *grad_input.shape
        )
    )


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Multi-scale deformable attention on a GPU, by bilinear sampling as in mmcv's CPU implementation; slower than a dedicated kernel.

    Args:
        value: float (N, keys, heads, d).
        spatial_shapes: int64 (levels, 2), sizes (h, w).
        level_start_index: not needed.
        sampling_locations: float (N, queries, heads, levels, points, 2), xy in [0, 1].
        attention_weights: float (N, queries, heads, levels, points).
        im2col_step: not needed.

    Returns:
        float (N, queries, heads * d).
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    dtype = _compute_dtype(value)
    arguments = value.to(dtype), spatial_shapes, sampling_locations.to(dtype), attention_weights.to(dtype)
    return multi_scale_deformable_attn_pytorch(*arguments).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, sampling_locations: Tensor, attention_weights: Tensor,
    grad_output: Tensor, grad_value: Tensor, grad_sampling_loc: Tensor, grad_attn_weight: Tensor, im2col_step: int,
) -> None:  # fmt: skip
    """Gradients of :func:`ms_deform_attn_forward`, written into the three given tensors; the attention is recomputed."""
    with torch.enable_grad():
        value, locations, weights = (t.detach().requires_grad_() for t in (value, sampling_locations, attention_weights))
        output = ms_deform_attn_forward(value, spatial_shapes, level_start_index, locations, weights, im2col_step)
    found = torch.autograd.grad(output, (value, locations, weights), grad_output)
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), found, strict=True):
        target.copy_(gradient)


def get_compiler_version() -> str:
    """Values that ``mmcv.utils.collect_env`` prints for the compiler and CUDA."""
    return 'none (torchvision kernels)'


get_compiling_cuda_version = get_compiler_version


def _compute_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _decay(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """Score factors of boxes with these overlaps, float (R,)."""
    if method == 2:
        return torch.exp(-(overlap**2) / sigma)
    lower = torch.zeros_like(overlap) if method == 0 else 1 - overlap
    return torch.where(overlap >= iou_threshold, lower, torch.ones_like(overlap))


def _add_at(grad_output: Tensor, rois: Tensor, argmax: Tensor, shape: torch.Size) -> Tensor:
    """Add each gradient (R, C, ph, pw) at the cell its maximum came from; float of ``shape`` (N, C, h, w)."""
    n, channels, height, width = shape
    planes = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    cells = planes[:, :, None, None] * (height * width) + argmax
    there = argmax >= 0
    total = grad_output.new_zeros(n * channels * height * width)
    return total.index_add_(0, cells[there], grad_output[there]).view(shape)

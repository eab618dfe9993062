"""Attention maps in the image."""

import math

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmlabelpenet.calibration.attention import class_attention, interpolation_weights, paste_attention


def random_boxes(count, h, w, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform((0, 0), (w - 3, h - 3), size=(count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1.5, 15, size=(count, 2))], 1)
    return torch.as_tensor(boxes.clip(0, (w, h, w, h)), dtype=torch.float32)


def slow_paste(maps, bboxes, size):
    """Box by box: resize to the whole pixels the box touches, add."""
    total = torch.zeros(size)
    for grid, (x1, y1, x2, y2) in zip(maps, bboxes.tolist(), strict=True):
        left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
        patch = F.interpolate(grid[None, None], (bottom - top, right - left), mode='bilinear', align_corners=False)
        total[top:bottom, left:right] += patch[0, 0]
    return total


@pytest.mark.parametrize('seed', range(4))
def test_pasting_equals_a_slow_loop_over_boxes(seed):
    torch.manual_seed(seed)
    maps, bboxes = torch.rand(9, 7, 7), random_boxes(9, 20, 31, seed)
    torch.testing.assert_close(paste_attention(maps, bboxes, (20, 31)), slow_paste(maps, bboxes, (20, 31)), atol=1e-5, rtol=1e-5)


def test_a_box_of_one_pixel_takes_the_middle_of_its_map():
    grid = torch.tensor([[[1.0, 2], [3, 8]]])
    assert paste_attention(grid, torch.tensor([[1.0, 1, 2, 2]]), (3, 3)).tolist() == [[0, 0, 0], [0, 3.5, 0], [0, 0, 0]]


def test_pasting_equals_opencvs_resize():
    torch.manual_seed(0)
    grid = torch.rand(7, 7)
    pasted = paste_attention(grid[None], torch.tensor([[3.0, 2, 33, 22]]), (30, 40))[2:22, 3:33]
    np.testing.assert_allclose(pasted.numpy(), cv2.resize(grid.numpy(), (30, 20), interpolation=cv2.INTER_LINEAR), atol=1e-5)


def test_nearest_pasting_gives_each_pixel_the_value_of_its_cell():
    grid = torch.arange(4.0).reshape(1, 2, 2)
    pasted = paste_attention(grid, torch.tensor([[1.0, 0, 5, 2]]), (2, 6), mode='nearest')
    assert pasted.tolist() == [[0, 0, 0, 1, 1, 0], [0, 2, 2, 3, 3, 0]]


def test_a_constant_map_covers_its_box_evenly_and_nothing_else():
    bboxes = random_boxes(12, 20, 31, 7)
    pasted = paste_attention(torch.ones(12, 5, 5), bboxes, (20, 31))
    covered = torch.zeros(20, 31)
    for x1, y1, x2, y2 in bboxes.tolist():
        covered[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)] += 1
    torch.testing.assert_close(pasted, covered)


def test_an_enlarged_map_keeps_its_mean_and_never_exceeds_its_peak():
    torch.manual_seed(0)
    grid = torch.rand(1, 7, 7)
    pasted = paste_attention(grid, torch.tensor([[2.0, 3, 37, 24]]), (30, 40))  # 35 and 21 are multiples of 7
    assert pasted.max() <= grid.max() + 1e-6
    torch.testing.assert_close(pasted.sum() / (35 * 21), grid.mean(), rtol=0.02, atol=0)


def test_no_proposal_and_empty_boxes_give_zeros():
    assert paste_attention(torch.zeros(0, 7, 7), torch.zeros(0, 4), (4, 5)).tolist() == torch.zeros(4, 5).tolist()
    assert paste_attention(torch.ones(1, 7, 7), torch.tensor([[2.0, 1, 2, 3]]), (4, 5)).sum() == 0


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="got 'cubic'"):
        interpolation_weights(torch.zeros(1), torch.ones(1), 7, 4, mode='cubic')


@pytest.mark.parametrize('seed', range(3))
def test_class_attention_by_a_slow_loop(seed):
    torch.manual_seed(seed)
    maps = torch.rand(3, 4, 5) * torch.tensor([0.1, 1, 50])[:, None, None]
    result = class_attention(maps)
    for y in range(4):
        for x in range(5):
            scaled = [float(m[y, x] / m.max()) for m in maps]
            assert result[:, y, x].tolist() == pytest.approx([max(0.0, 1 - sum(scaled)), *scaled], abs=1e-6)


def test_every_class_peaks_at_one_and_the_background_lives_where_no_class_does():
    maps = torch.tensor([[[4.0, 2, 0, 0]], [[0, 3, 6, 0]]])
    assert class_attention(maps).tolist() == [[[0, 0, 0, 1]], [[1, 0.5, 0, 0]], [[0, 0.5, 1, 0]]]


def test_without_objects_all_is_background_and_an_empty_map_stays_empty():
    assert class_attention(torch.zeros(0, 2, 2)).tolist() == [[[1, 1], [1, 1]]]
    assert class_attention(torch.zeros(1, 2, 2)).tolist() == [[[1, 1], [1, 1]], [[0, 0], [0, 0]]]


@pytest.mark.parametrize('peak', [0.3, 0.9, 1.0])
def test_the_peak_is_a_quantile_of_the_positive_attention(peak):
    maps = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(1)).sub(0.3).clamp(min=0)
    attention = class_attention(maps, peak)
    for scaled, raw in zip(attention[1:], maps, strict=True):
        value = np.quantile(raw[raw > 0].numpy(), peak)
        np.testing.assert_allclose(scaled.numpy(), np.minimum(raw.numpy() / value, 1), rtol=1e-5)

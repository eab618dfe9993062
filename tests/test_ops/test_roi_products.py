"""The gradient of RoIAlign as matrix products, compared with torchvision's kernel and with a difference quotient."""

import pytest
import torch

from mmlabelpenet.ops import torchvision_kernels
from mmlabelpenet.ops.roi_products import bin_weights, roi_align_gradient


@pytest.fixture
def rois():
    """Three images of 12 x 9 cells of 16 pixels, the last without a RoI; boxes beyond the border, of no area, and whole ones too."""
    torch.manual_seed(0)
    corners = torch.rand(150, 2, 2).sort(1).values.flatten(1) * torch.tensor([240.0, 180.0, 240.0, 180.0]) - 20
    special = torch.tensor([[0.0, 0, 192, 144], [50, 50, 50, 50], [185, 140, 192, 144], [-90, -90, -40, -40], [300, 300, 400, 400]])
    boxes = torch.cat([corners, special])
    return torch.cat([(torch.arange(len(boxes)) % 2).float()[:, None], boxes], 1)


@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize(('samples', 'grid'), [(1, (5, 5)), (2, (7, 7)), (3, (2, 4))])
def test_the_gradient_is_that_of_the_kernel(rois, samples, grid, aligned):
    shape, gradient = torch.Size((3, 6, 9, 12)), torch.rand(len(rois), 6, *grid)
    expected = torch.ops.torchvision._roi_align_backward(gradient, rois, 1 / 16, *grid, *shape, samples, aligned)
    found = roi_align_gradient(gradient, rois, shape, 1 / 16, samples, aligned)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_weights_are_made_where_the_rois_are():
    ends = torch.zeros(3, device='meta'), torch.ones(3, device='meta')  # a second device that every machine has
    assert bin_weights(*ends, bins=2, samples=2, size=5).shape == (3, 2, 5)


def test_samples_on_the_border_are_inside():
    low, high = torch.tensor([-1.5, 4.5, -2.5, 5.5]), torch.tensor([-0.5, 5.5, -1.5, 6.5])
    found = bin_weights(low, high, bins=1, samples=1, size=5)  # at -1, 5, -2 and 6
    assert found[:, 0].tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0] * 5, [0] * 5]


def test_products_take_the_kernels_place_for_small_maps_alone(rois, monkeypatch):
    calls = []
    monkeypatch.setattr(torchvision_kernels, 'roi_align_gradient', lambda *args: calls.append(1) or roi_align_gradient(*args))
    monkeypatch.setattr(torchvision_kernels, 'SMALL', 9 * 12)
    for height, ratio in ((9, 2), (9, 0), (10, 2)):
        found, none = torch.empty(3, 6, height, 12), torch.empty(0)
        torchvision_kernels.roi_align_backward(torch.ones(len(rois), 6, 3, 3), rois, none, none, found, 3, 3, 1 / 16, ratio, 1, False)
        assert torch.isfinite(found).all() and found[:2].abs().sum() > 0 and found[2].abs().sum() == 0
    assert len(calls) == 1


def test_no_roi_gives_no_gradient():
    assert roi_align_gradient(torch.zeros(0, 6, 7, 7), torch.zeros(0, 5), torch.Size((2, 6, 9, 12)), 1 / 16, 2, False).abs().sum() == 0

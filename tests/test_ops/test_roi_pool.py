"""RoIPool is torchvision's, with as many threads as PyTorch may use, and repeatable gradients."""

import pytest
import torch
import torchvision

from mmlabelpenet.ops.roi_pool import RoIPool

DEVICES = ['cpu', pytest.param('cuda', marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')])]


def feature(seed):
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def rois(count):
    generator = torch.Generator().manual_seed(5)
    corner = torch.rand(count, 2, generator=generator) * 45
    image = torch.arange(count).remainder(2)[:, None].float()
    return torch.cat((image, corner, corner + torch.rand(count, 2, generator=generator) * 19 + 1), 1)


@pytest.mark.parametrize('count', [3, 70, 131])
def test_threads_of_roi_pool_share_out_the_rois_without_changing_a_bit(count):
    boxes, found = rois(count), []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        feats = feature(4).requires_grad_()
        torch.set_num_threads(threads)
        try:
            pooled = RoIPool(7, 0.25)(feats, boxes)
            pooled.square().sum().backward()
        finally:
            torch.set_num_threads(before)
        found.append((pooled.detach(), feats.grad))
    for pooled, grad in found[1:]:
        assert torch.equal(pooled, found[0][0]) and torch.allclose(grad, found[0][1]) and grad.any()


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('deterministic', [False, True])
def test_roi_pool_and_its_gradient_equal_those_of_torchvision(device, deterministic):
    boxes = rois(8).to(device)
    ours, theirs = (feature(2).to(device).requires_grad_() for _ in range(2))
    got = RoIPool(7, 0.25)(ours, boxes)
    expected = torchvision.ops.roi_pool(theirs, boxes, 7, 0.25)
    assert torch.equal(got, expected)
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(3)).to(device)
    (expected * weights).sum().backward()
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        (got * weights).sum().backward()
    finally:
        torch.use_deterministic_algorithms(was)
    torch.testing.assert_close(ours.grad, theirs.grad)

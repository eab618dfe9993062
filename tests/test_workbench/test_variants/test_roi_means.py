"""Means of RoIs against RoIAlign and the mean over its grid."""

import pytest
import torch

from mmlabelpenet.workbench.variants.roi_means import MeanRoIExtractor, SingleRoIExtractor


def settings(ratio=1, size=5, aligned=False):
    layer = dict(type='RoIAlign', output_size=size, sampling_ratio=ratio, aligned=aligned)
    return dict(roi_layer=layer, out_channels=6, featmap_strides=[16])


@pytest.fixture
def rois():
    """Two images of 12 x 9 cells; boxes beyond the border, of no area, and whole ones too."""
    torch.manual_seed(0)
    corners = torch.rand(40, 2, 2).sort(1).values.flatten(1) * torch.tensor([240.0, 180.0, 240.0, 180.0]) - 20
    special = torch.tensor([[0.0, 0, 192, 144], [50, 50, 50, 50], [185, 140, 192, 144], [-90, -90, -40, -40], [300, 300, 400, 400]])
    boxes = torch.cat([corners, special])
    return torch.cat([(torch.arange(len(boxes)) % 2).float()[:, None], boxes], 1)


@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize(('ratio', 'size'), [(1, 5), (2, 3), (3, (2, 4))])
def test_means_are_those_of_the_grid(rois, ratio, size, aligned):
    feature, extractor = torch.rand(2, 6, 9, 12, requires_grad=True), MeanRoIExtractor(**settings(ratio, size, aligned))
    expected = SingleRoIExtractor(**settings(ratio, size, aligned))((feature,), rois).mean((2, 3), keepdim=True)
    found = extractor((feature,), rois)
    assert torch.equal(found, SingleRoIExtractor(**settings(ratio, size, aligned))((feature,), rois))
    means = extractor.means((feature,), rois)
    torch.testing.assert_close(means, expected, atol=1e-5, rtol=1e-5)
    weight = torch.rand_like(means)
    (slow,) = torch.autograd.grad((expected * weight).sum(), feature)
    (fast,) = torch.autograd.grad((means * weight).sum(), feature)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)


def test_no_roi_gives_no_mean():
    assert MeanRoIExtractor(**settings()).means((torch.rand(1, 6, 9, 12),), torch.zeros(0, 5)).shape == (0, 6, 1, 1)


@pytest.mark.parametrize('changed', [dict(featmap_strides=[8, 16]), dict(roi_layer=dict(type='RoIAlign', output_size=7))])
def test_what_has_no_such_means_is_refused(changed):
    with pytest.raises(ValueError, match='one map and a RoIAlign that averages'):
        MeanRoIExtractor(**settings() | changed)

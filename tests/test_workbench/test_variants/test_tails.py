"""The pyramid on each RoI."""

import torch
from toy import extractor

from mmlabelpenet.registry import MODELS


def test_the_pyramid_may_stand_on_each_roi_where_no_pixel_outside_it_counts():
    pooled = dict(extractor(14, maps=2), type='ASPPRoIExtractor', aspp=dict(channels=3, out_channels=4))
    model = MODELS.build(pooled)
    torch.manual_seed(0)
    maps, rois = (torch.rand(1, 5, 8, 8), torch.rand(1, 12, 8, 8, requires_grad=True)), torch.tensor([[0.0, 8, 8, 40, 40]])
    crop = MODELS.build(extractor(14, maps=2))(maps, rois)
    found = model(maps, rois)
    assert found.shape == (1, 4, 14, 14)
    torch.testing.assert_close(found, model.aspp(crop))
    found.sum().backward()
    assert maps[1].grad[..., 7].abs().sum() == 0 and all(param.grad is not None for param in model.aspp.parameters())

"""RoI features of the last map."""

import pytest
import torch
from torchvision.ops import roi_pool
from toy import extractor

from mmlabelpenet.registry import MODELS


@pytest.mark.parametrize('number', [2, 3])
def test_only_the_last_map_is_read_and_the_others_may_have_other_channels(number):
    last, single = MODELS.build(extractor(3, maps=number)), MODELS.build(extractor(3))
    torch.manual_seed(0)
    maps, rois = (*torch.rand(number - 1, 1, 5, 8, 8), torch.rand(1, 12, 8, 8)), torch.tensor([[0.0, 3, 4, 40, 50]])
    assert last.num_inputs == number
    assert torch.equal(last(maps, rois), single(maps[-1:], rois))


@pytest.mark.parametrize('maps', [1, 2])
def test_roi_pool_rounds_whatever_serves_mmcv(maps, monkeypatch):
    monkeypatch.setattr('mmcv.ops.RoIPool', None)  # its kernel depends on the installation
    pooled = MODELS.build(dict(extractor(3, maps), roi_layer=dict(type='RoIPool', output_size=3)))
    torch.manual_seed(0)
    feature, rois = torch.rand(1, 12, 8, 8), torch.tensor([[0.0, 3, 5, 39, 52], [0, 21, 2, 25, 63]])
    assert torch.equal(pooled([feature] * maps, rois), roi_pool(feature, rois, 3, 1 / 8))

"""RoI features of the last map."""

import torch
from toy import extractor

from mmlabelpenet.registry import MODELS


def test_only_the_last_map_is_read_and_the_first_may_have_other_channels():
    last, single = MODELS.build(extractor(3, maps=2)), MODELS.build(extractor(3))
    torch.manual_seed(0)
    maps, rois = (torch.rand(1, 5, 8, 8), torch.rand(1, 12, 8, 8)), torch.tensor([[0.0, 3, 4, 40, 50]])
    assert last.num_inputs == 2
    assert torch.equal(last(maps, rois), single(maps[1:], rois))

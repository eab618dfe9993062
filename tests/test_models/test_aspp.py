"""Atrous spatial pyramid pooling."""

import pytest
import torch

from mmlabelpenet.models.aspp import LabelPEASPP


def reach(aspp):
    """Size of the square of input cells that one output cell sees."""
    for param in aspp.parameters():
        torch.nn.init.constant_(param, 0.1)
    feats = torch.ones(1, 2, 31, 31, requires_grad=True)
    aspp(feats)[0, :, 15, 15].sum().backward()
    return int((feats.grad[0, 0, 15] != 0).nonzero().max() - (feats.grad[0, 0, 15] != 0).nonzero().min()) + 1


@pytest.mark.parametrize(('dilations', 'size'), [((1,), 1), ((1, 2), 5), ((1, 2, 4, 6), 13)])
def test_a_cell_sees_as_far_as_the_largest_dilation(dilations, size):
    assert reach(LabelPEASPP(2, 3, 4, dilations)) == size


def test_the_default_has_the_dilations_of_the_paper_and_no_normalisation():
    aspp = LabelPEASPP(4)
    assert [branch.dilation[0] for branch in aspp.branches] == [1, 2, 4, 6]
    assert not any('Norm' in type(m).__name__ or 'Pool' in type(m).__name__ for m in aspp.modules())


def test_new_layers_start_from_a_narrow_normal_distribution():
    torch.manual_seed(0)
    aspp = LabelPEASPP(32)
    aspp.init_weights()
    assert abs(aspp.branches[1].weight.std().item() - 0.01) < 0.001
    assert aspp.fuse.bias.abs().sum() == 0

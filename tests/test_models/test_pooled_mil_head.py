"""The classification head on the mean of each RoI."""

import torch

from mmlabelpenet.calibration.excitation import proposal_attention
from mmlabelpenet.models import MILBBoxHead, PooledMILBBoxHead


def head(**kwargs):
    torch.manual_seed(0)
    return PooledMILBBoxHead(num_classes=3, in_channels=6, **kwargs)


def test_it_is_the_plain_head_on_the_mean():
    pooled, plain = head(fc_channels=(5,)), MILBBoxHead(num_classes=3, in_channels=6, roi_feat_size=1, fc_channels=(5,))
    plain.load_state_dict(pooled.state_dict())
    feats = torch.rand(4, 6, 3, 3)
    for left, right in zip(pooled(feats), plain(feats.mean((2, 3), keepdim=True)), strict=True):
        torch.testing.assert_close(left, right)


def test_the_mass_of_a_map_is_the_class_probability():
    labels = torch.tensor([0, 1, 2, 0])
    net, feats = head(), torch.rand(4, 6, 5, 5)
    with torch.no_grad():
        net.fc_cls.weight.abs_()
        maps, probs = proposal_attention(feats, net, labels)
    assert maps.shape == (4, 5, 5)
    torch.testing.assert_close(maps.sum((1, 2)), probs[range(4), labels])


def test_attention_lies_where_the_exciting_channel_is():
    """A slow loop over channels and places: a channel's share of the score, spread in proportion to its activations."""
    net, feats, label = head(), torch.rand(1, 6, 2, 2), 1
    with torch.no_grad():
        maps, probs = proposal_attention(feats, net, torch.tensor([label]))
    weight, mean = net.fc_cls.weight[label].detach().clamp(min=0), feats[0].mean((1, 2))
    total = sum(float(weight[d] * mean[d]) for d in range(6))
    for y in range(2):
        for x in range(2):
            shares = (float(weight[d] * mean[d]) / total * float(feats[0, d, y, x] / feats[0, d].sum()) for d in range(6))
            assert abs(sum(shares) * float(probs[0, label]) - float(maps[0, y, x])) < 1e-6

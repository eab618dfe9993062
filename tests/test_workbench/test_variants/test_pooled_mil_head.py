"""The classification head on the mean of each RoI."""

import torch
import toy

from mmlabelpenet.models import MILBBoxHead
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants import CentredNorm, PooledMILBBoxHead, pooled_mil_head


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
        maps, probs = toy.attention_of(net, feats, labels)
    assert maps.shape == (4, 5, 5)
    torch.testing.assert_close(maps.sum((1, 2)), probs[range(4), labels])


def test_attention_lies_where_the_exciting_channel_is():
    """A slow loop over channels and places: a channel's share of the score, spread in proportion to its activations."""
    net, feats, label = head(), torch.rand(1, 6, 2, 2), 1
    with torch.no_grad():
        maps, probs = toy.attention_of(net, feats, torch.tensor([label]))
    weight, mean = net.fc_cls.weight[label].detach().clamp(min=0), feats[0].mean((1, 2))
    total = sum(float(weight[d] * mean[d]) for d in range(6))
    for y in range(2):
        for x in range(2):
            shares = (float(weight[d] * mean[d]) / total * float(feats[0, d, y, x] / feats[0, d].sum()) for d in range(6))
            assert abs(sum(shares) * float(probs[0, label]) - float(maps[0, y, x])) < 1e-6


def test_the_mean_of_all_proposals_is_subtracted_and_every_length_is_the_same():
    torch.manual_seed(0)
    norm, batches = CentredNorm(5, length=3.0), [torch.rand(4, 5) + k for k in range(3)]
    for x in batches:
        norm.learn(x.split(3))
    mean = torch.stack([x.mean(0) for x in batches]).mean(0)
    torch.testing.assert_close(norm.mean, mean)
    result = norm(batches[0])
    torch.testing.assert_close(result, 3 * (batches[0] - mean) / (batches[0] - mean).norm(dim=1, keepdim=True))
    torch.testing.assert_close(norm.mean, mean)  # using it moves nothing


def test_the_running_mean_forgets_slowly():
    norm = CentredNorm(2, momentum=0.25)
    for value in (4.0, 4, 4, 4, 0):
        norm.learn([torch.full((1, 2), value)])
    assert norm.mean.tolist() == [3.0, 3.0]


def test_no_gradient_flows_into_the_mean():
    x = torch.rand(3, 2, requires_grad=True)
    norm = CentredNorm(2)
    norm.learn([x])
    norm(x)[:, 0].sum().backward()
    assert x.grad.any() and not norm.mean.requires_grad


def test_a_rank_without_proposals_still_meets_the_others(monkeypatch):
    met = []

    def all_reduce(total, op='sum'):
        met.append(op)
        total += torch.tensor([6.0, 8.0, 2.0])  # another rank: two proposals, (2, 3) and (4, 5)

    monkeypatch.setattr(pooled_mil_head, 'all_reduce', all_reduce)
    norm = CentredNorm(2)
    norm.learn([torch.zeros(0, 2)])
    assert norm(torch.zeros(0, 2)).shape == (0, 2)
    assert met == ['sum'] and norm.mean.tolist() == [3.0, 4.0]


def test_without_any_proposal_the_mean_stays():
    norm = CentredNorm(2)
    norm.learn([torch.ones(3, 2)])
    norm.learn([torch.zeros(0, 2)])
    assert norm.mean.tolist() == [1.0, 1.0] and norm.batches == 1


def test_configs_of_earlier_checkpoints_name_the_norm_otherwise():
    assert MODELS.get('CentredUnitNorm') is MODELS.get('CentredNorm') is CentredNorm

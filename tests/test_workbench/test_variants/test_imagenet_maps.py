"""Maps of the ImageNet classes that occur with a tag."""

import copy

import pytest
import torch
from torch.nn import functional as F

from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants import ImageNetMaps, TagHead
from mmlabelpenet.workbench.variants.tag_head import peaks


@pytest.fixture
def maps():
    torch.manual_seed(0)
    maps = ImageNetMaps(num_classes=2, in_channels=6, init_cfg=None, num_imagenet_classes=5, temperature=3.0)
    maps.weight.normal_()
    maps.bias.normal_()
    return maps


def test_affinities_are_the_excess_of_imagenet_classes_in_images_with_a_tag(maps):
    means, onehots = torch.rand(7, 6), torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [0, 0], [0, 1]])
    for part, tags in zip(means.split(3), onehots.split(3), strict=True):
        maps.learn(part, tags)
    probs = ((means @ maps.weight.T + maps.bias) / 3).softmax(1)
    for tag, found in enumerate(maps.affinities()):
        has = onehots[:, tag] == 1
        torch.testing.assert_close(found, (probs[has].mean(0) - probs[~has].mean(0)).clamp(min=0))
        assert 0 < (found > 0).sum() < 5


def test_a_tag_of_no_or_of_every_image_has_finite_maps(maps):
    assert not maps(torch.rand(6, 3, 4)).any()
    maps.learn(torch.rand(4, 6), torch.tensor([[1, 0]]).repeat(4, 1))
    every, no = maps.affinities()
    assert every.sum() == pytest.approx(1, abs=1e-5) and not no.any()


def test_a_place_is_read_like_a_whole_image(maps):
    maps.learn(torch.rand(4, 6), torch.eye(2).repeat(2, 1))
    feature = torch.rand(6, 3, 4)
    found = maps(feature)
    for y, x in ((0, 0), (2, 1)):
        probs = (F.linear(feature[:, y, x], maps.weight, maps.bias) / 3).softmax(0)
        torch.testing.assert_close(found[:, y, x], maps.affinities() @ probs)


def test_the_tag_head_joins_both_maps_and_learns_the_statistics_from_tags_alone(toy_batch):
    _, samples = toy_batch
    torch.manual_seed(0)
    head = TagHead(num_classes=4, in_channels=6, imagenet=dict(init_cfg=None, num_imagenet_classes=5))
    head.imagenet.weight.normal_()
    feature, means = torch.rand(6, 3, 4), torch.rand(len(samples), 6)
    state = copy.deepcopy(head.fc.state_dict())
    head.loss(means, samples).backward()
    assert head.imagenet.images == len(samples) and head.imagenet.weight.grad is None
    assert torch.equal(head.imagenet.counts, sum(sample.gt_image_labels.onehot.float() for sample in samples))
    plain = TagHead(num_classes=4, in_channels=6)
    plain.fc.load_state_dict(state)
    plain.norm.load_state_dict(head.norm.state_dict())
    own, seen = plain.activation_maps(feature), head.imagenet(feature)
    own, seen, joint = own / peaks(own), seen / peaks(seen), head.activation_maps(feature)
    torch.testing.assert_close(joint, ((own**4 + seen**4) / 2) ** 0.25)
    assert (joint <= torch.maximum(own, seen) + 1e-6).all() and (joint >= (own + seen) / 2 - 1e-6).all()


def test_the_classifier_of_the_installed_weights_knows_its_classes():
    init = dict(type='ImageNetWeights', arch='efficientnet_lite0', preset='tensorflow', part='classifier')
    maps = MODELS.build(dict(type='ImageNetMaps', num_classes=4, in_channels=1280, init_cfg=init))
    maps.init_weights()
    with pytest.raises(ValueError, match='temperature must be at least 0.1'):
        ImageNetMaps(num_classes=4, in_channels=1280, init_cfg=init, temperature=0.0)
    assert maps.weight.shape == (1000, 1280) and maps.weight.std() > 0.01 and maps.bias.any() and not maps.images

"""The classifier of whole images in the classification stage, its loss, and its evidence."""

import copy

import pytest
import torch
import toy
from torch.nn import functional as F

from mmlabelpenet.workbench.variants import TagHead


@pytest.fixture
def net():
    return toy.net_with_tag_head()


def test_the_loss_is_the_cross_entropy_of_each_tag_averaged_over_images_that_have_one(toy_batch):
    _, samples = toy_batch
    torch.manual_seed(0)
    head, means = TagHead(num_classes=4, in_channels=6, loss_weight=2.0).eval(), torch.rand(len(samples), 6)
    samples = copy.deepcopy(samples)
    samples[0].gt_image_labels.onehot[:] = 0
    loss = head.loss(means, samples)
    expected = [
        F.binary_cross_entropy_with_logits(logits, sample.gt_image_labels.onehot.float(), reduction='sum')
        for logits, sample in zip(head(means), samples, strict=True)
    ]
    torch.testing.assert_close(loss, 2 * torch.stack(expected[1:]).mean())


def test_the_network_learns_the_tags_with_the_proposals(net, toy_batch):
    inputs, samples = toy_batch
    losses = net.train().loss(inputs, samples, trains='classification')
    losses['classification.loss_tags'].backward()
    head = net.stages['classification'].detector.roi_head.tag_head
    assert head.fc.weight.grad.abs().sum() > 0 and head.norm.batches == 1


def test_the_means_of_an_image_leave_out_its_padding(net, toy_batch):
    inputs, samples = toy_batch
    roi_head, sample = net.stages['classification'].detector.roi_head, samples[0]
    feature = torch.ones(1, 12, 20, 20)
    height, width = (side // 8 for side in sample.img_shape[:2])
    feature[:, :, height + 1 :] = feature[..., width + 1 :] = 0
    torch.testing.assert_close(roi_head.image_means((feature,), [sample]), torch.ones(1, 12))


def test_the_evidence_is_the_probability_of_each_tag(net, toy_batch):
    inputs, samples = toy_batch
    detector, feature = net.eval().stages['classification'].detector, net.extract_feat(inputs)
    x = detector.extract_feat(feature[:1])
    evidence = detector.roi_head.image_evidence(x, samples[0])
    head = detector.roi_head
    torch.testing.assert_close(evidence, head.tag_head(head.image_means(x, samples[:1]))[0].sigmoid())
    assert ((evidence > 0) & (evidence < 1)).all()


def test_the_mean_of_an_activation_map_is_the_logit_up_to_bias_and_length():
    torch.manual_seed(0)
    head, feature = TagHead(num_classes=3, in_channels=8), torch.rand(8, 4, 5)
    head.norm.mean.copy_(torch.rand(8))
    means = feature.mean((1, 2))[None]
    scale = head.norm.length / (means - head.norm.mean).norm()
    torch.testing.assert_close(head.activation_maps(feature).mean((1, 2)) * scale, (head(means) - head.fc.bias)[0])

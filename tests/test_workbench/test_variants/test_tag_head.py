"""The classifier of whole images in the classification stage, its loss, its evidence and its class activation maps."""

import copy

import pytest
import torch
import toy
from torch.nn import functional as F

from mmlabelpenet.calibration.reading import inference
from mmlabelpenet.models.inference.image_evidence import image_evidence
from mmlabelpenet.workbench.variants import ClassActivation, TagHead


@pytest.fixture
def net():
    config = toy.model_config()
    config['stages']['classification']['detector']['roi_head']['tag_head'] = dict(type='TagHead', in_channels=12)
    net = toy.build(config)
    with torch.no_grad():
        net.stages['classification'].detector.roi_head.tag_head.fc.weight.normal_()
    return net


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
    evidence = image_evidence(detector, x, samples[0])
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


def test_labels_cover_what_reaches_the_threshold_and_weigh_as_probable_as_the_tag_is(net, toy_batch):
    inputs, samples = toy_batch[0], copy.deepcopy(toy_batch[1])
    stage, feature = net.eval().stages['classification'], net.extract_feat(inputs)
    images = net.data_preprocessor.images(inputs, samples)
    for index, sample in enumerate(samples):
        sample.gt_image_labels.onehot[:] = 0
        sample.gt_image_labels.onehot[index] = 1
        (reading,) = toy.read_batch(stage.detector, feature[index : index + 1], samples[index : index + 1], record=False)
        generator = ClassActivation(threshold=0.3, max_per_tag=1, min_iou=0.0)
        with inference(stage):
            explanation = generator.explain(stage.detector, reading)
        labels = generator.label(images[index], explanation)
        (tag,), (height, width) = reading.tags, reading.size
        maps = stage.detector.roi_head.tag_head.activation_maps(reading.x[-1][0])[tag].clamp(min=0)
        enlarged = F.interpolate(maps[None, None], scale_factor=8, mode='bilinear')[0, 0, :height, :width]
        expected = enlarged > 0.3 * enlarged.max()
        assert expected.any() and torch.equal(torch.from_numpy(labels.masks.masks[0]).bool(), expected)
        torch.testing.assert_close(labels.weights, image_evidence(stage.detector, reading.x, sample)[[tag]])


def test_a_stage_without_tag_head_is_refused(toy_net, toy_batch):
    inputs, samples = toy_batch
    detector = toy_net.stages['classification'].detector
    readings = toy.read_batch(detector, toy_net.extract_feat(inputs), samples, record=False)
    with pytest.raises(TypeError, match='needs a stage with a tag head'):
        ClassActivation(max_per_tag=1).explain(detector, readings[0])


@pytest.mark.parametrize('threshold', [0, 0.6])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ValueError, match='share of the maximum'):
        ClassActivation(threshold=threshold)

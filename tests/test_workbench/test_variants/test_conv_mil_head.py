"""The classification head with a ResNet's layer4 on each RoI."""

import pytest
import torch
import toy

from mmlabelpenet.calibration.generators import ProposalCalibration
from mmlabelpenet.structures import hand_over
from mmlabelpenet.workbench.variants.conv_mil_head import ConvMILBBoxHead

TAIL = dict(type='ResNetC5', stride=2, dilation=1)


def conv_head(seed=0, **kwargs):
    torch.manual_seed(seed)
    head = ConvMILBBoxHead(3, TAIL, **kwargs).eval()
    torch.nn.init.normal_(head.fc_cls.weight, std=0.1)
    return head


@pytest.fixture(scope='module')
def feats():
    torch.manual_seed(1)
    return torch.rand(3, 1024, 4, 4)


@torch.no_grad()
def test_the_branches_read_the_means_of_layer4(feats):
    head = conv_head()
    means = head.tail.layer4(feats).mean((2, 3))
    cls_logits, weight_logits = head(feats)
    torch.testing.assert_close(cls_logits, head.fc_cls(means))
    torch.testing.assert_close(weight_logits, head.fc_weight(means))
    assert cls_logits.shape == (3, 4) and weight_logits.shape == (3, 3)


@torch.no_grad()
@pytest.mark.parametrize('norm', [None, dict(type='CentredNorm')])
def test_the_mass_of_a_map_is_the_class_probability_and_it_fills_the_roi_grid(feats, norm):
    head, labels = conv_head(roi_norm=norm), torch.tensor([0, 1, 2])
    maps, probs = toy.attention_of(head, feats, labels)
    assert maps.shape == (3, 4, 4) and maps.min() >= 0
    torch.testing.assert_close(maps.sum((1, 2)), probs[torch.arange(3), labels], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_map_lies_where_the_evidence_is(feats):
    somewhere = torch.zeros_like(feats)
    somewhere[:, :, 2:, :2] = feats[:, :, 2:, :2]
    maps, _ = toy.attention_of(conv_head(), somewhere, torch.tensor([0, 1, 2]))
    assert maps[:, 2:, :2].sum() > 0 and maps[:, :2].sum() == 0 and maps[:, :, 2:].sum() == 0


@torch.no_grad()
def test_parts_give_the_same_maps(feats):
    head, labels = conv_head(batch=2), torch.tensor([2, 0, 1])
    parts, _ = toy.attention_of(head, feats, labels)
    head.batch = 64
    torch.testing.assert_close(parts, toy.attention_of(head, feats, labels)[0])


def test_the_norm_learns_from_pooled_features(feats):
    head = conv_head(roi_norm=dict(type='CentredNorm')).train()
    head.learn_norm([feats[:2], feats[2:]])
    torch.testing.assert_close(head.roi_norm.mean, head.pooled(feats).mean(0).detach())


def test_a_pyramid_behind_the_tail_is_refused():
    for extra in (dict(with_input=True), dict(aspp=dict(channels=4, out_channels=8))):
        with pytest.raises(ValueError, match='layer4 alone'):
            ConvMILBBoxHead(3, dict(TAIL, **extra))


def conv_stage():
    config = toy.stage_config('classification')
    config['backbone'] = dict(type='ToyTail', out_channels=1024)
    config['roi_head']['bbox_roi_extractor']['out_channels'] = 1024
    config['roi_head']['bbox_head'] = dict(type='ConvMILBBoxHead', num_classes=4, tail=TAIL, mil_loss=dict(type='MILSoftmaxLoss'))
    return toy.build(config)


def test_it_trains_and_proposal_calibration_goes_through_the_tail_without_knowing(toy_net, toy_batch):
    stage, (inputs, samples) = conv_stage(), toy_batch
    with torch.no_grad():
        feature = toy_net.extract_feat(inputs)
    losses = stage.loss(feature, hand_over(samples, keep=('proposals', 'gt_image_labels')))
    losses['loss_mil'].backward()
    assert stage.roi_head.bbox_head.tail.layer4[0].conv1.weight.grad.abs().sum() > 0
    generator = ProposalCalibration(max_per_tag=1)
    images = toy_net.data_preprocessor.images(inputs, samples)
    readings = toy.read_batch(stage, feature, samples, record=True)
    for reading, sample, pseudo in zip(readings, samples, toy.labels_of(stage, generator, feature, samples, images), strict=True):
        with torch.no_grad():
            found = generator.explain(stage, reading)
        tags = sample.gt_image_labels.onehot.nonzero().flatten().tolist()
        assert found.labels.tolist() == tags == pseudo.labels.tolist()
        assert (found.maps.reshape(len(tags), -1).sum(1) > 0).all() and (found.weights > 0).all()
        assert len(reading.candidates) == len(sample.proposals)

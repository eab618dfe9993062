"""The classification stage."""

import numpy as np
import pytest
import torch
import toy
from mmengine.structures import InstanceData
from torch.nn import functional as F

from mmlabelpenet.models import mil_head
from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.models.mil_losses import single_labels
from mmlabelpenet.models.recompute import recompute_activations
from mmlabelpenet.structures import hand_over, pseudo_instances
from mmlabelpenet.workbench.variants import CentredNorm

KEEP = ('proposals', 'gt_image_labels')


@pytest.fixture
def stage(toy_net):
    return toy_net.stages['classification'].detector


@pytest.fixture
def feature(toy_net, toy_batch):
    return toy_net.extract_feat(toy_batch[0]).detach()


def logits_of(stage, feature, samples):
    return stage.roi_head.logits(stage.extract_feat(feature), [s.proposals.bboxes for s in samples])


def test_the_classification_branch_has_one_output_more_for_the_background():
    head = MILBBoxHead(5, in_channels=3, roi_feat_size=2, fc_channels=(7, 6))
    cls_logits, weight_logits = head(torch.rand(4, 3, 2, 2))
    assert cls_logits.shape == (4, 6) and weight_logits.shape == (4, 5)
    assert [tuple(layer.weight.shape) for layer in head.linear_layers()] == [(7, 12), (6, 7), (6, 6)]


def test_new_branches_start_from_a_narrow_normal_distribution():
    torch.manual_seed(0)
    head = MILBBoxHead(20, in_channels=16, roi_feat_size=4, fc_channels=(64,))
    head.init_weights()
    for layer in (head.fc_cls, head.fc_weight):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert layer.bias.abs().sum() == 0
    bound = (6 / (256 + 64)) ** 0.5
    assert 0.95 * bound < head.shared_fcs[0].weight.abs().max().item() <= bound


def test_dropout_works_in_training_only():
    torch.manual_seed(0)
    head = MILBBoxHead(3, 2, 2, (32,), dropout=0.5)
    feats = torch.rand(2, 2, 2, 2)
    assert not torch.equal(head.train()(feats)[0], head(feats)[0])
    assert torch.equal(head.eval()(feats)[0], head(feats)[0])


def test_the_loss_is_the_mean_over_images_of_equation_2(stage, feature, toy_batch):
    samples = toy_batch[1]
    losses = stage.loss(feature, hand_over(samples, keep=KEEP))
    assert set(losses) == {'loss_mil', 'chosen_area', 'entropy'}
    expected = 0
    for sample, (cls_logits, weight_logits) in zip(samples, logits_of(stage, feature, samples), strict=True):
        scores = (cls_logits[:, :4] * weight_logits.softmax(0)).sum(0)
        expected -= (sample.gt_image_labels.onehot * scores.log_softmax(0)).sum() / 2
    torch.testing.assert_close(losses['loss_mil'], expected)


def test_tags_do_not_train_the_background_output(stage, feature, toy_batch):
    stage.loss(feature, hand_over(toy_batch[1], keep=KEEP))['loss_mil'].backward()
    grad = stage.roi_head.bbox_head.fc_cls.weight.grad
    assert grad[:4].abs().sum() > 0 and grad[4].abs().sum() == 0


@pytest.mark.parametrize('what', ['proposals', 'tags'])
def test_an_image_without_proposals_or_tags_adds_nothing(stage, feature, toy_batch, what):
    samples = toy_batch[1]
    alone = stage.loss(feature[:1], hand_over(samples[:1], keep=KEEP))['loss_mil']
    if what == 'proposals':
        samples[1].proposals = samples[1].proposals[:0]
    else:
        samples[1].gt_image_labels.onehot = torch.zeros(4)
    torch.testing.assert_close(stage.loss(feature, hand_over(samples, keep=KEEP))['loss_mil'], alone / 2)
    nothing = stage.loss(feature[1:], hand_over(samples[1:], keep=KEEP))['loss_mil']
    assert nothing == 0 and nothing.requires_grad


def test_backward_validation_labels_proposals_by_their_overlap_with_detections(stage, feature, toy_batch):
    samples = toy_batch[1]
    losses = stage.loss(feature, hand_over(samples, [s.pseudo_instances for s in samples], keep=KEEP))
    expected = 0
    for sample, (cls_logits, _) in zip(samples, logits_of(stage, feature, samples), strict=True):
        found = sample.pseudo_instances
        labels = single_labels(sample.proposals.bboxes, found.bboxes, found.labels, 4)
        assert 0 < (labels < 4).sum() < len(labels)
        expected += F.cross_entropy(cls_logits, labels) / 2
    torch.testing.assert_close(losses['loss_single_label'], expected)
    losses['loss_single_label'].backward()
    assert stage.roi_head.bbox_head.fc_cls.weight.grad[4].abs().sum() > 0


def test_beta_and_the_weight_of_the_single_label_loss_are_settings(toy_net, toy_batch):
    config = toy.stage_config('classification')
    samples, losses = hand_over(toy_batch[1], [s.pseudo_instances for s in toy_batch[1]], keep=KEEP), {}
    feature = torch.rand(2, 12, 12, 16)
    for name, options in dict(plain={}, half=dict(single_label_weight=0.5), strict=dict(beta=0.9)).items():
        config['roi_head'].update(dict(beta=0.5, single_label_weight=1.0) | options)
        losses[name] = toy.build(config).loss(feature, samples)['loss_single_label']
    torch.testing.assert_close(losses['half'], losses['plain'] / 2)
    assert losses['strict'] != losses['plain']


def test_no_detection_does_not_mean_that_everything_is_background(stage, feature, toy_batch):
    empty = pseudo_instances(torch.zeros(0, 4), torch.zeros(0), np.zeros((0, 96, 128)), torch.zeros(0))
    losses = stage.loss(feature, hand_over(toy_batch[1], [empty, empty], keep=KEEP))
    assert losses['loss_single_label'] == 0
    losses['loss_single_label'].backward()
    assert stage.roi_head.bbox_head.fc_cls.weight.grad.abs().sum() == 0


@pytest.mark.parametrize('mil_loss', ['MILSoftmaxLoss', 'WSDDNLoss'])
def test_scores_before_suppression_have_mmdets_layout(mil_loss, toy_batch):
    stage = toy.build(toy.stage_config('classification', mil_loss=mil_loss)).eval()
    samples, feature = toy_batch[1], torch.rand(2, 12, 12, 16)
    results = stage.roi_head.predict_bbox(
        stage.extract_feat(feature), [s.metainfo for s in samples], [s.proposals for s in samples], rcnn_test_cfg=None
    )
    for sample, result, (cls_logits, weight_logits) in zip(samples, results, logits_of(stage, feature, samples), strict=True):
        assert torch.equal(result.bboxes.view(-1, 4, 4), sample.proposals.bboxes[:, None].expand(-1, 4, 4))
        assert (result.scores[:, 4] == 0).all()
        cls = cls_logits[:, :4].softmax(1) if mil_loss == 'WSDDNLoss' else cls_logits[:, :4]
        share = weight_logits.softmax(0)
        torch.testing.assert_close(result.scores[:, :4], cls * torch.where(cls < 0, 1 - share, share))


def test_detections_are_suppressed_per_class_and_rescaled_on_demand(stage, feature, toy_batch):
    (sample, _) = samples = toy_batch[1]
    sample.set_metainfo(dict(scale_factor=(0.5, 2.0)))
    before = sample.proposals.bboxes.clone()
    stage.eval()
    inside, outside = (stage.predict(feature, hand_over(samples, keep=('proposals',)), rescale=r)[0].pred_instances for r in (False, True))
    assert 0 < len(inside) <= 10
    torch.testing.assert_close(outside.bboxes, inside.bboxes * torch.tensor([2, 0.5, 2, 0.5]))
    assert torch.equal(sample.proposals.bboxes, before)


def test_an_image_without_proposals_has_no_detection(stage, feature, toy_batch):
    samples = toy_batch[1]
    samples[0].proposals = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0))
    first, second = stage.eval().predict(feature, hand_over(samples, keep=('proposals',)), rescale=False)
    assert len(first.pred_instances) == 0 and len(second.pred_instances) > 0


def test_the_roi_norm_stands_before_the_first_layer_and_in_excitation_backprop():
    head = MILBBoxHead(3, 2, 2, (), roi_norm=dict(type='CentredNorm', length=5.0))
    feats = torch.rand(4, 2, 2, 2)
    head.eval().learn_norm([feats])
    assert head.roi_norm.batches == 0  # it learns in training alone
    head.train().learn_norm([feats])
    assert head.roi_norm.batches == 1
    first = head.first_input(feats)
    torch.testing.assert_close(first.norm(dim=1), torch.full((4,), 5.0))
    torch.testing.assert_close(head(feats)[0], head.fc_cls(first))


def test_proposals_are_ranked_by_the_product_or_by_the_class_score(stage, feature, toy_batch):
    samples = toy_batch[1]
    proposals, metas = [sample.proposals for sample in samples], [sample.metainfo for sample in samples]
    found = {}
    for stage.roi_head.rank in ('product', 'class'):
        found[stage.roi_head.rank] = stage.roi_head.predict_bbox(stage.extract_feat(feature), metas, proposals, None)
    for i, (cls_logits, weight_logits) in enumerate(logits_of(stage, feature, samples)):
        torch.testing.assert_close(found['class'][i].scores[:, :4], cls_logits[:, :4].softmax(1))
        product = stage.roi_head.bbox_head.mil_loss.ranking(cls_logits[:, :4], weight_logits)
        torch.testing.assert_close(found['product'][i].scores[:, :4], product)
    with pytest.raises(ValueError, match="got 'score'"):
        mil_head.MILRoIHead(rank='score')


@pytest.mark.parametrize('norm', [False, True])
@pytest.mark.parametrize('chunk', [1, 7, 10_000, 'all'])
def test_proposals_in_chunks_give_the_same_loss_and_gradients_and_bound_what_is_in_memory(toy_net, toy_batch, chunk, norm):
    stage, samples, sizes = toy_net.stages['classification'].detector, hand_over(toy_batch[1], keep=KEEP), []
    width = stage.roi_head.bbox_head.linear_layers()[0].in_features
    stage.roi_head.bbox_head.register_forward_pre_hook(lambda head, args: sizes.append(len(args[0])))

    def gradients(chunk):
        stage.roi_head.chunk = chunk
        if norm:
            stage.roi_head.bbox_head.roi_norm = CentredNorm(width)
        toy_net.zero_grad()
        loss = stage.loss(toy_net.extract_feat(toy_batch[0]), samples)['loss_mil']
        loss.backward()
        statistics = [buffer.clone().float() for buffer in stage.roi_head.bbox_head.roi_norm.buffers()]
        return [loss.detach(), *(p.grad.clone() for p in toy_net.parameters() if p.grad is not None), *statistics]

    whole = gradients(None)
    total, sizes[:] = max(sizes), []
    chunk = total if chunk == 'all' else chunk
    for one, other in zip(gradients(chunk), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert max(sizes) == min(chunk, total)
    assert sum(sizes) == total * (2 if chunk < total else 1)  # once forward, once again for the backward pass


def test_a_roi_norm_learns_once_where_the_head_is_computed_again_in_the_backward_pass(toy_net, toy_batch):
    stage, samples = toy_net.stages['classification'].detector, hand_over(toy_batch[1], keep=KEEP)
    head = stage.roi_head.bbox_head
    found = []
    for again in (False, True):
        head.roi_norm = CentredNorm(head.linear_layers()[0].in_features)
        if again:
            recompute_activations(toy_net, ['roi_head'])
        toy_net.zero_grad()
        stage.loss(toy_net.extract_feat(toy_batch[0]), samples)['loss_mil'].backward()
        found.append([head.fc_cls.weight.grad.clone(), head.roi_norm.mean.clone()])
        assert head.roi_norm.batches == 1
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_no_chunk_at_all_is_refused():
    config = toy.stage_config('classification')
    config['roi_head'].update(chunk=0)
    with pytest.raises(ValueError, match='chunk must be at least 1'):
        toy.build(config)

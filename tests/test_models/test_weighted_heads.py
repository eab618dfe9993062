"""Instance weights: with all weights 1, a detector equals mmdet's."""

import copy

import numpy as np
import pytest
import torch
import toy
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch.nn import functional as F

from mmlabelpenet.models.weighted_heads import ObjectnessLoss, WeightedBBoxHead, WeightedMaskHead, mask_weights, negative_weights
from mmlabelpenet.registry import MODELS, TASK_UTILS
from mmlabelpenet.structures import hand_over, pseudo_instances

PLAIN = dict(
    WeightedRPNHead='mmdet.RPNHead',
    WeightedBBoxHead='mmdet.ConvFCBBoxHead',
    WeightedMaskHead='mmdet.FCNMaskHead',
    WeightedRandomSampler='mmdet.RandomSampler',
)
EXTRACTORS = dict(bbox_roi_extractor=4, mask_roi_extractor=7)


def plain(config):
    """The same config with mmdet's own parts."""
    if isinstance(config, dict):
        config = {key: plain(value) for key, value in config.items() if key != 'objectness'}
        if config.get('type') == 'WeightedRPNHead':
            config['loss_cls'] = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)
        return config | dict(type=PLAIN.get(config.get('type'), config.get('type'))) if 'type' in config else config
    return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config


def on_one_map(config):
    """The config of a stage whose tail gives one map; mmdet's RPN takes no second one."""
    config['backbone'] = dict(type='ToyTail')
    config['roi_head'].update({key: toy.extractor(size) for key, size in EXTRACTORS.items() if key in config['roi_head']})
    return config


def labelled(samples, weights=None, masks=True):
    """The samples that a stage receives; ``weights`` replaces the weights of all instances."""
    pseudo = []
    for sample in samples:
        old = sample.pseudo_instances
        new = old.weights if weights is None else torch.full_like(old.weights, weights)
        pseudo.append(InstanceData(bboxes=old.bboxes, labels=old.labels, masks=old.masks, weights=new))
    return hand_over(samples, pseudo)


def losses_of(stage, feature, samples, seed=5):
    """All losses by name, with the sampler's draws seeded."""
    torch.manual_seed(seed)
    losses = {}
    for name, value in stage.loss(feature, samples).items():
        if 'loss' in name:
            losses[name] = (sum(value) if isinstance(value, (list, tuple)) else value).squeeze()  # mmdet's mask loss is (1,)
    return losses


@pytest.fixture
def feature(toy_batch):
    torch.manual_seed(1)
    return torch.rand(2, 12, 12, 16)


@pytest.fixture(params=['detection', 'refinement'])
def name(request):
    return request.param


NAMES = dict(
    detection={'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'},
    refinement={'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'},
)


@pytest.mark.parametrize('objectness', ['soft', 'hard'])
@pytest.mark.parametrize('weights', [1.0, 'absent'])
def test_with_weights_of_one_every_loss_and_gradient_is_mmdets_own(name, objectness, weights, feature, toy_batch):
    config = on_one_map(toy.stage_config(name, objectness))
    ours, theirs = toy.build(config), toy.build(plain(config), seed=9)
    assert not any(type(m).__module__.startswith('mmlabelpenet.models.weighted') for m in theirs.modules())
    assert type(theirs.roi_head.bbox_sampler).__name__ == 'RandomSampler'
    theirs.load_state_dict(ours.state_dict())
    samples = labelled(toy_batch[1], 1.0)
    if weights == 'absent':
        for sample in samples:
            del sample.gt_instances.weights
    mine, expected = losses_of(ours, feature, samples), losses_of(theirs, feature, samples)
    assert set(mine) == set(expected) == NAMES[name]
    for key in mine:
        assert expected[key] > 0
        torch.testing.assert_close(mine[key], expected[key], atol=1e-5, rtol=1e-5)
    sum(mine.values()).backward()
    sum(expected.values()).backward()
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4, msg=key)


def test_losses_are_linear_in_weights(name, feature, toy_batch):
    stage = toy.build(toy.stage_config(name, 'hard'))
    full, half = (losses_of(stage, feature, labelled(toy_batch[1], w)) for w in (1.0, 0.5))
    for key in NAMES[name]:
        torch.testing.assert_close(half[key], full[key] / 2, msg=key)


def test_of_the_soft_objectness_only_the_classification_of_the_rpn_is_not_linear(name, feature, toy_batch):
    stage = toy.build(toy.stage_config(name, 'soft'))
    full, half = (losses_of(stage, feature, labelled(toy_batch[1], w)) for w in (1.0, 0.5))
    for key in NAMES[name] - {'loss_rpn_cls'}:
        torch.testing.assert_close(half[key], full[key] / 2, msg=key)
    assert (half['loss_rpn_cls'] - full['loss_rpn_cls'] / 2).abs() > 1e-3


def rpn_reference(stage, feature, samples, objectness):
    """Eq. 3 anchor by anchor, with mmdet's assignment and draws."""
    head = stage.rpn_head
    maps = stage.extract_feat(feature)
    logits, deltas = (out[0].permute(0, 2, 3, 1) for out in head(maps))
    logits, deltas = logits.reshape(2, -1), deltas.reshape(2, -1, 4)
    anchors = head.prior_generator.grid_priors([maps[0].shape[-2:]], device='cpu')[0]
    cls, bbox, count = 0.0, 0.0, 0
    for i, sample in enumerate(samples):
        truth = sample.gt_instances
        instances = InstanceData(bboxes=truth.bboxes, labels=torch.zeros_like(truth.labels))
        assigned = head.assigner.assign(InstanceData(priors=anchors), instances)
        result = TASK_UTILS.build(dict(toy.train_cfg()['rpn']['sampler'], type='mmdet.RandomSampler')).sample(
            assigned, InstanceData(priors=anchors), instances
        )
        count += len(result.pos_inds) + len(result.neg_inds)
        for anchor, owner in zip(result.pos_inds.tolist(), result.pos_assigned_gt_inds.tolist(), strict=True):
            w, x = truth.weights[owner], logits[i, anchor]
            if objectness == 'soft':
                cls -= w * F.logsigmoid(x) + (1 - w) * F.logsigmoid(-x)
            else:
                cls -= w * F.logsigmoid(x)
            target = head.bbox_coder.encode(anchors[anchor : anchor + 1], truth.bboxes[owner : owner + 1])[0]
            bbox += w * (deltas[i, anchor] - target).abs().sum()
        for anchor in result.neg_inds.tolist():
            w = negative_weights(anchors[anchor : anchor + 1], truth.bboxes, truth.weights)[0]
            cls -= ((w > 0) if objectness == 'soft' else w) * F.logsigmoid(-logits[i, anchor])
    return cls / count, bbox / count


@pytest.mark.parametrize('objectness', ['soft', 'hard'])
def test_equation_3_by_a_slow_reference(objectness, feature, toy_batch):
    stage = toy.build(toy.stage_config('detection', objectness))
    samples = labelled(toy_batch[1])
    losses = losses_of(stage, feature, samples)
    torch.manual_seed(5)
    cls, bbox = rpn_reference(stage, feature, samples, objectness)
    torch.testing.assert_close(losses['loss_rpn_cls'], cls)
    torch.testing.assert_close(losses['loss_rpn_bbox'], bbox)


def test_equation_4_weighs_each_roi_by_its_instance(feature, toy_batch):
    stage = toy.build(toy.stage_config('detection'))
    (sample, _) = labelled(toy_batch[1])
    truth = sample.gt_instances
    torch.manual_seed(2)
    rois = torch.cat([truth.bboxes, truth.bboxes + torch.randn_like(truth.bboxes), torch.tensor([[90.0, 60, 120, 90], [0, 0, 20, 20]])])
    head = stage.roi_head
    result = head.bbox_sampler.sample(head.bbox_assigner.assign(InstanceData(priors=rois), truth), InstanceData(priors=rois), truth)
    feats = torch.rand(len(result.priors), 12, 4, 4)
    cls_score, bbox_pred = head.bbox_head(feats)
    losses = head.bbox_head.loss_and_target(cls_score, bbox_pred, result.priors, [result], stage.train_cfg.rcnn)['loss_bbox']
    cls, bbox = 0, 0
    for index, (roi, owner) in enumerate(zip(result.pos_priors, result.pos_assigned_gt_inds.tolist(), strict=True)):
        w, label = truth.weights[owner], truth.labels[owner]
        cls -= w * cls_score[index].log_softmax(0)[label]
        target = head.bbox_head.bbox_coder.encode(roi[None], truth.bboxes[owner : owner + 1])[0]
        bbox += w * (bbox_pred[index].view(4, 4)[label] - target).abs().sum()
    for index, roi in enumerate(result.neg_priors, len(result.pos_priors)):
        cls -= negative_weights(roi[None], truth.bboxes, truth.weights)[0] * cls_score[index].log_softmax(0)[4]
    assert 0 < len(result.pos_priors) < len(result.priors)
    torch.testing.assert_close(losses['loss_cls'], cls / len(result.priors))
    torch.testing.assert_close(losses['loss_bbox'], bbox / len(result.priors))


def test_images_without_pseudo_instances_teach_nothing(name, feature, toy_batch):
    empty = pseudo_instances(torch.zeros(0, 4), torch.zeros(0), np.zeros((0, 96, 128)), torch.zeros(0))
    for objectness in ('soft', 'hard'):
        stage = toy.build(toy.stage_config(name, objectness))
        losses = losses_of(stage, feature, hand_over(toy_batch[1], [empty, empty]))
        assert set(losses) == NAMES[name]
        assert all(value == 0 for value in losses.values())
        sum(losses.values()).backward()
        assert all(p.grad is None or not p.grad.any() for p in stage.parameters())


def test_an_empty_image_beside_a_labelled_one_adds_no_gradient(feature, toy_batch):
    stage = toy.build(toy.stage_config('refinement'))
    empty = pseudo_instances(torch.zeros(0, 4), torch.zeros(0), np.zeros((0, 96, 128)), torch.zeros(0))
    samples = hand_over(toy_batch[1], [toy_batch[1][0].pseudo_instances, empty])
    feature.requires_grad_()
    sum(losses_of(stage, feature, samples).values()).backward()
    assert feature.grad[0].any() and not feature.grad[1].any()


@pytest.mark.parametrize('weights', [[0.5, 1.0, 0.25, 0, 0, 0], [0.5, 0, 0, 0, 0, 0], [0.0] * 6])
def test_n_of_equation_4_is_the_mini_batch_whatever_weights_are_zero(weights):
    head = toy.build(toy.bbox_head())
    torch.manual_seed(0)
    scores, labels, weights = torch.randn(6, 5), torch.tensor([0, 1, 4, 4, 4, 4]), torch.tensor(weights)
    found = head.loss(scores, None, None, labels, weights, None, None)['loss_cls']
    torch.testing.assert_close(found, (weights * torch.nn.functional.cross_entropy(scores, labels, reduction='none')).sum() / 6)


def test_negative_weights_by_hand():
    bboxes, weights = torch.tensor([[0.0, 0, 10, 10], [8, 0, 18, 10], [40, 40, 50, 50]]), torch.tensor([0.2, 0.6, 1.0])
    priors = torch.tensor([[0.0, 0, 5, 5], [7, 0, 17, 10], [45, 45, 70, 70], [60, 60, 70, 70], [10, 10, 11, 11]])
    expected = [0.2, 0.6, 1.0, 0.6, 0.6]  # the last two touch nothing: the mean
    assert negative_weights(priors, bboxes, weights).tolist() == pytest.approx(expected)
    assert negative_weights(priors, bboxes[:0], weights[:0]).tolist() == [0] * 5
    assert negative_weights(priors[:0], bboxes, weights).shape == (0,)


def test_the_sampler_says_for_each_sample_how_much_it_counts(toy_batch):
    truth = labelled(toy_batch[1])[0].gt_instances
    torch.manual_seed(0)
    corner = torch.rand(60, 2) * torch.tensor([90.0, 60])
    priors = InstanceData(priors=torch.cat([corner, corner + 10 + torch.rand(60, 2) * 30], 1))
    assigner, sampler = (TASK_UTILS.build(toy.train_cfg()['rcnn'][part]) for part in ('assigner', 'sampler'))
    result = sampler.sample(assigner.assign(priors, truth), priors, truth)
    overlap = bbox_overlaps(result.pos_priors, truth.bboxes).argmax(1)
    assert len(result.pos_inds) and torch.equal(result.pos_weights, truth.weights[overlap])
    assert torch.equal(result.neg_weights, negative_weights(result.neg_priors, truth.bboxes, truth.weights))


def test_negatives_may_count_one_but_never_in_an_image_without_pseudo_instances():
    priors = InstanceData(priors=torch.tensor([[0.0, 0, 9, 9], [30, 30, 60, 60], [50, 50, 60, 60]]))
    truth = InstanceData(bboxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([1]), weights=torch.tensor([0.3]))
    config = toy.train_cfg()['rcnn']
    for instances, negatives, expected in ((truth, 'nearest', 0.3), (truth, 'one', 1.0), (truth[:0], 'one', 0.0)):
        assigned = TASK_UTILS.build(config['assigner']).assign(priors, instances)
        result = TASK_UTILS.build(dict(config['sampler'], negatives=negatives)).sample(assigned, copy.copy(priors), instances)
        assert len(result.neg_weights) and result.neg_weights.tolist() == pytest.approx([expected] * len(result.neg_weights))
    with pytest.raises(ValueError, match="got 'mean'"):
        TASK_UTILS.build(dict(config['sampler'], negatives='mean'))


def test_the_sampler_draws_as_mmdets_does(toy_batch):
    truth = labelled(toy_batch[1])[0].gt_instances
    priors = InstanceData(priors=torch.rand(80, 4).sort(1).values * 90)
    config = toy.train_cfg()['rcnn']
    drawn = []
    for kind in ('WeightedRandomSampler', 'mmdet.RandomSampler'):
        torch.manual_seed(4)
        assigned = TASK_UTILS.build(config['assigner']).assign(priors, truth)
        drawn.append(TASK_UTILS.build(dict(config['sampler'], type=kind)).sample(assigned, copy.copy(priors), truth))
    assert torch.equal(drawn[0].pos_inds, drawn[1].pos_inds) and torch.equal(drawn[0].neg_inds, drawn[1].neg_inds)


def test_instances_without_a_mask_teach_the_mask_head_nothing(feature, toy_batch):
    stage = toy.build(toy.stage_config('refinement'))
    samples = labelled(toy_batch[1])
    for sample in samples:
        sample.gt_instances.masks.masks[:] = 0
    losses = losses_of(stage, feature, samples)
    assert losses['loss_mask'] == 0 and losses['loss_cls'] > 0


def test_mask_weights_are_those_of_instances_with_a_mask(toy_batch):
    truth = labelled(toy_batch[1])[0].gt_instances
    truth.masks.masks[0] = 0
    result = InstanceData(pos_weights=truth.weights[[1, 0, 0]], pos_assigned_gt_inds=torch.tensor([1, 0, 0]))
    assert mask_weights(result, truth).tolist() == [truth.weights[1].item(), 0, 0]


def test_a_mask_head_without_positives_has_a_loss_of_zero_in_the_graph(toy_batch):
    head = MODELS.build(toy.mask_head())
    preds = head(torch.zeros(0, 12, 7, 7))
    loss = head.loss_and_target(preds, [], [], None)['loss_mask']['loss_mask']
    assert loss == 0 and loss.requires_grad


def test_a_class_agnostic_mask_head_learns_its_only_map(toy_batch):
    head = MODELS.build(dict(toy.mask_head(), class_agnostic=True))
    assert isinstance(head, WeightedMaskHead)
    truth = labelled(toy_batch[1], 1.0)[0].gt_instances
    inds = torch.arange(len(truth))
    result = InstanceData(
        pos_weights=truth.weights, pos_assigned_gt_inds=inds, pos_gt_labels=truth.labels + 1, pos_priors=truth.bboxes, pos_inds=inds
    )
    loss = head.loss_and_target(head(torch.rand(len(truth), 12, 7, 7)), [result], [truth], ConfigDict(mask_size=14))
    assert loss['loss_mask']['loss_mask'] > 0


def test_objectness_by_hand():
    logits, targets, weights = torch.tensor([[0.0], [2.0], [-1.0]]), torch.tensor([1.0, 0.3, 0.0]), torch.tensor([1.0, 0.5, 0.0])
    expected = np.log(2) + 0.5 * (0.3 * np.log1p(np.exp(-2)) + 0.7 * np.log1p(np.exp(2)))
    assert ObjectnessLoss(3.0)(logits, targets, weights, 4).item() == pytest.approx(3 * expected / 4)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="'soft' or 'hard', got 'firm'"):
        MODELS.build(toy.rpn_head('firm'))
    with pytest.raises(ValueError, match='use_sigmoid'):
        ObjectnessLoss(use_sigmoid=False)


@pytest.mark.parametrize(
    'other', [dict(num_shared_convs=1, num_shared_fcs=1), dict(num_cls_convs=1), dict(num_shared_fcs=1, with_avg_pool=True)]
)
def test_a_box_head_with_other_layers_than_fully_connected_ones_has_no_closed_form(other):
    head = WeightedBBoxHead(in_channels=4, num_classes=3, bbox_coder=dict(type='DeltaXYWHBBoxCoder'), **other)
    with pytest.raises(ValueError, match='fully connected'):
        head.linear_layers()


def test_the_rpn_reads_the_first_map_only():
    head = MODELS.build(toy.rpn_head())
    maps = (torch.rand(1, 12, 4, 4), torch.rand(1, 5, 4, 4))
    assert torch.equal(head(maps)[0][0], head(maps[:1])[0][0])


@pytest.mark.parametrize('weights', [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 1.0, 0.0]])
def test_a_loss_is_the_mean_over_all_samples_however_few_count(weights):
    head = WeightedBBoxHead(num_shared_fcs=1, in_channels=4, num_classes=3, bbox_coder=dict(type='DeltaXYWHBBoxCoder'))
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(3, 4), torch.tensor([0, 3, 1]), torch.tensor(weights)
    losses = head.loss(logits, None, torch.zeros(3, 5), labels, weights, None, None)
    torch.testing.assert_close(losses['loss_cls'], (F.cross_entropy(logits, labels, reduction='none') * weights).sum() / 3)

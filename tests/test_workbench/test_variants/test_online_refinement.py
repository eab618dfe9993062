"""Refinement branches of OICR and PCL: losses against slow code, who learns from whom, and their place in the classification stage."""

import math

import pytest
import torch
import toy

from mmlabelpenet.calibration.generators import ProposalCalibration
from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.models.mil_losses import proposal_scores, single_labels
from mmlabelpenet.structures import hand_over
from mmlabelpenet.workbench.variants.online_refinement import OICRBranches, PCLBranches, RefinementBranches, cluster_loss, instance_loss
from mmlabelpenet.workbench.variants.proposal_clusters import assign_clusters, graph_centres, highest_scoring

KEEP = ('proposals', 'gt_image_labels')
KINDS = ('OICRBranches', 'PCLBranches')


def softmax(row):
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def slow_instance_loss(logits, clusters, weights, labels):
    """-1/R sum_r w_r log x_{y_r, r}."""
    total = 0.0
    for row, cluster, weight in zip(logits.tolist(), clusters.tolist(), weights.tolist(), strict=True):
        target = labels[cluster].item() if cluster < len(labels) else len(row) - 1
        total -= weight * math.log(softmax(row)[target])
    return total / len(logits)


def slow_cluster_loss(logits, clusters, scores, weights, labels):
    """-1/R (sum_n s_n M_n log(mean probability of cluster n) + sum over background of w_r log x_{C+1, r})."""
    rows = [softmax(row) for row in logits.tolist()]
    total = 0.0
    for n, label in enumerate(labels.tolist()):
        mine = [row[label] for row, cluster in zip(rows, clusters.tolist(), strict=True) if cluster == n]
        if mine:
            total -= scores[n].item() * len(mine) * math.log(sum(mine) / len(mine))
    for row, cluster, weight in zip(rows, clusters.tolist(), weights.tolist(), strict=True):
        if cluster == len(labels):
            total -= weight * math.log(row[-1])
    return total / len(logits)


def clusters_of(seed, proposals=20, classes=3, centres=4):
    """Logits, clusters (one of them empty), weights, scores and labels of centres."""
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(proposals, classes + 1, generator=rng)
    clusters = torch.tensor([0, 1, 3, 4])[torch.randint(4, (proposals,), generator=rng)]
    scores = torch.rand(centres, generator=rng)
    weights = torch.where(clusters < 4, torch.cat([scores, scores[:1]])[clusters], torch.rand(proposals, generator=rng))
    return logits, clusters, weights, scores, torch.randint(classes, (centres,), generator=rng)


@pytest.mark.parametrize('seed', range(3))
def test_both_losses_equal_sums_over_proposals(seed):
    logits, clusters, weights, scores, labels = clusters_of(seed)
    expected = slow_instance_loss(logits, clusters, weights, labels)
    assert instance_loss(logits, clusters, weights, labels).item() == pytest.approx(expected, rel=1e-5)
    expected = slow_cluster_loss(logits, clusters, scores, weights, labels)
    assert cluster_loss(logits, clusters, weights, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('loss', [instance_loss, cluster_loss])
def test_losses_are_linear_in_weights_and_zero_where_all_weights_are(loss):
    logits, clusters, weights, _, labels = clusters_of(1)
    torch.testing.assert_close(loss(logits, clusters, 0.25 * weights, labels), 0.25 * loss(logits, clusters, weights, labels))
    assert loss(logits, clusters, 0 * weights, labels) == 0


def test_clusters_of_one_proposal_make_both_losses_one():
    logits, _, _, _, labels = clusters_of(0, proposals=5)
    clusters, weights = torch.arange(5), torch.rand(5)
    torch.testing.assert_close(instance_loss(logits, clusters, weights, labels), cluster_loss(logits, clusters, weights, labels))


def test_a_bag_is_content_with_one_sure_proposal_more_than_each_proposal_for_itself():
    logits, clusters, weights = torch.tensor([[20.0, 0], [-20.0, 0]]), torch.zeros(2).long(), torch.ones(2)
    labels = torch.tensor([0])
    assert cluster_loss(logits, clusters, weights, labels).item() == pytest.approx(math.log(2), rel=1e-4)
    assert instance_loss(logits, clusters, weights, labels).item() == pytest.approx(10, rel=1e-4)


def test_the_bag_loss_stays_finite_where_no_proposal_believes_in_the_class():
    logits = torch.tensor([[-300.0, 0], [-400.0, 0]], requires_grad=True)
    loss = cluster_loss(logits, torch.zeros(2).long(), torch.ones(2), torch.tensor([0]))
    loss.backward()
    assert loss > 100 and torch.isfinite(logits.grad).all()


def one_image(seed=0, proposals=20, tags=(0, 2)):
    rng = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(proposals, 2, generator=rng)
    boxes = torch.cat([corner, corner + 10 + 30 * torch.rand(proposals, 2, generator=rng)], 1)
    onehot = torch.zeros(3)
    onehot[list(tags)] = 1
    return boxes, torch.randn(proposals, 3, generator=rng), torch.randn(proposals, 3, generator=rng), onehot


@pytest.mark.parametrize('kind', [OICRBranches, PCLBranches])
def test_each_branch_learns_from_the_one_before_it(kind):
    boxes, cls_logits, weight_logits, onehot = one_image()
    logits = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(1))
    found = kind(in_channels=5, num_classes=3, loss_weight=0.5).losses(boxes, cls_logits, weight_logits, list(logits), onehot)
    teachers = [proposal_scores(cls_logits.softmax(1), weight_logits), logits[0].softmax(1)[:, :3], logits[1].softmax(1)[:, :3]]
    for loss, teacher, branch in zip(found, teachers, logits, strict=True):
        centres = (highest_scoring if kind is OICRBranches else graph_centres)(boxes, teacher, onehot)
        assigned = assign_clusters(boxes, centres, 0.5, 0.1)
        if kind is OICRBranches:
            expected = slow_instance_loss(branch, assigned.clusters, assigned.weights, centres.labels)
        else:
            expected = slow_cluster_loss(branch, assigned.clusters, centres.scores, assigned.weights, centres.labels)
        assert loss.item() == pytest.approx(0.5 * expected, rel=1e-4)


@pytest.mark.parametrize('kind', [OICRBranches, PCLBranches])
def test_gradients_stay_in_the_branch_that_is_taught(kind):
    boxes, cls_logits, weight_logits, onehot = one_image()
    logits = [torch.randn(20, 4, requires_grad=True) for _ in range(3)]
    cls_logits.requires_grad_(), weight_logits.requires_grad_()
    losses = kind(in_channels=5, num_classes=3).losses(boxes, cls_logits, weight_logits, logits, onehot)
    losses[1].backward()
    assert logits[1].grad.abs().sum() > 0
    assert all(other.grad is None or not other.grad.any() for other in (cls_logits, weight_logits, logits[0], logits[2]))


@pytest.mark.parametrize('kind', [OICRBranches, PCLBranches])
@pytest.mark.parametrize(('proposals', 'tags'), [(1, (1,)), (1, (0, 1, 2)), (20, (0, 1, 2))])
def test_one_proposal_and_many_tags_give_finite_losses(kind, proposals, tags):
    boxes, cls_logits, weight_logits, onehot = one_image(proposals=proposals, tags=tags)
    losses = kind(in_channels=5, num_classes=3).losses(boxes, cls_logits, weight_logits, [torch.zeros(proposals, 4)] * 3, onehot)
    assert torch.isfinite(losses).all() and (losses > 0).all()


def test_settings_of_the_graph_and_of_the_overlap_reach_the_targets():
    boxes, cls_logits, weight_logits, onehot = one_image(4)
    logits = [torch.randn(20, 4, generator=torch.Generator().manual_seed(2))]

    def loss(**options):
        return PCLBranches(in_channels=5, num_classes=3, num_branches=1, **options).losses(boxes, cls_logits, weight_logits, logits, onehot)

    for change in (dict(graph_iou=0.9), dict(max_per_tag=1), dict(iou_thr=0.2), dict(ignore_iou=0.4)):
        assert loss(num_groups=1, **change) != loss(num_groups=1) != loss()


def test_the_score_is_the_mean_of_the_branches_without_the_background():
    logits = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    scores = OICRBranches(in_channels=2, num_classes=4).scores(list(logits))
    torch.testing.assert_close(scores, sum(each.softmax(1) for each in logits)[:, :4] / 3)


def test_no_branch_at_all_is_refused():
    with pytest.raises(ValueError, match='num_branches must be at least 1, got 0'):
        OICRBranches(in_channels=2, num_classes=4, num_branches=0)


def test_what_kinds_differ_in_must_be_given():
    plain = RefinementBranches(in_channels=2, num_classes=4)
    with pytest.raises(NotImplementedError):
        plain.centres(*one_image()[:3])
    with pytest.raises(NotImplementedError):
        plain.branch_loss(*clusters_of(0)[:3], torch.zeros(4))


# ---------------------------------------------------------------- in the classification stage


@pytest.fixture(params=KINDS)
def stage(request):
    config = toy.stage_config('classification', mil_loss='WSDDNLoss')
    config['roi_head']['bbox_head']['refinement'] = dict(type=request.param)
    return toy.build(config)


@pytest.fixture
def samples(toy_batch):
    return toy_batch[1]


FEATURE = torch.rand(2, 12, 12, 16, generator=torch.Generator().manual_seed(0))


def losses_of(stage, feature, samples):
    return {name: value for name, value in stage.loss(feature, hand_over(samples, keep=KEEP)).items() if 'loss' in name}


def logits_of(stage, samples):
    return stage.roi_head.logits(stage.extract_feat(FEATURE), [sample.proposals.bboxes for sample in samples])


def test_the_head_has_three_branches_more_and_their_losses_are_means_over_images(stage, samples):
    losses = losses_of(stage, FEATURE, samples)
    assert list(losses) == ['loss_mil', 'loss_refine_1', 'loss_refine_2', 'loss_refine_3']
    refinement, expected = stage.roi_head.bbox_head.refinement, 0
    for sample, (cls_logits, weight_logits, *branches) in zip(samples, logits_of(stage, samples), strict=True):
        assert [tuple(branch.shape[1:]) for branch in branches] == [(5,)] * 3
        onehot = sample.gt_image_labels.onehot
        expected += refinement.losses(sample.proposals.bboxes, cls_logits[:, :4], weight_logits, branches, onehot) / 2
    torch.testing.assert_close(torch.stack(list(losses.values())[1:]), expected)


def test_the_classes_of_the_last_branch_rank_proposals_where_classes_rank_them(stage, samples):
    head = stage.roi_head.bbox_head
    assert head.linear_layers()[-1] is head.refinement.branches[-1]
    stage.roi_head.rank = 'class'
    for logits in logits_of(stage, samples):
        assert torch.equal(stage.roi_head.ranking_scores(*logits), stage.roi_head.bbox_head.class_probs(logits[-1]))
        assert torch.equal(stage.roi_head.ranking_scores(*logits[:2]), stage.roi_head.bbox_head.class_probs(logits[0]))


def test_branches_teach_the_shared_layers_but_not_the_branches_of_multiple_instance_learning(stage, samples):
    losses = stage.loss(FEATURE, hand_over(samples, keep=KEEP))
    sum(value for name, value in losses.items() if 'refine' in name).backward()
    head = stage.roi_head.bbox_head
    assert all(branch.weight.grad.any() for branch in head.refinement.branches)
    assert head.shared_fcs[0].weight.grad.any() and stage.backbone.conv.weight.grad.any()
    assert head.fc_cls.weight.grad is None and head.fc_weight.weight.grad is None


def test_the_multiple_instance_loss_is_that_of_a_head_without_branches(stage, samples):
    plain = toy.build(toy.stage_config('classification', mil_loss='WSDDNLoss'))
    plain.load_state_dict({key: value for key, value in stage.state_dict().items() if 'refinement' not in key})
    fresh = hand_over(samples, keep=KEEP)
    assert torch.equal(plain.loss(FEATURE, fresh)['loss_mil'], stage.loss(FEATURE, fresh)['loss_mil'])


@pytest.mark.parametrize('what', ['proposals', 'tags'])
def test_an_image_without_proposals_or_tags_teaches_the_branches_nothing(stage, samples, what):
    alone = losses_of(stage, FEATURE[:1], samples[:1])
    if what == 'proposals':
        samples[1].proposals = samples[1].proposals[:0]
    else:
        samples[1].gt_image_labels.onehot = torch.zeros(4)
    both, nothing = losses_of(stage, FEATURE, samples), losses_of(stage, FEATURE[1:], samples[1:])
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value / 2)
        assert nothing[name] == 0 and nothing[name].requires_grad


def test_in_testing_the_mean_of_the_branches_ranks_proposals_and_the_class_score_is_that_of_the_last(stage, samples):
    proposals, metas = [sample.proposals for sample in samples], [sample.metainfo for sample in samples]
    results = {}
    for stage.roi_head.rank in ('product', 'class'):
        results[stage.roi_head.rank] = stage.roi_head.predict_bbox(stage.extract_feat(FEATURE), metas, proposals, None)
    for i, (_, _, *branches) in enumerate(logits_of(stage, samples)):
        probs = torch.stack([branch.softmax(1)[:, :4] for branch in branches])
        torch.testing.assert_close(results['product'][i].scores[:, :4], probs.mean(0))
        torch.testing.assert_close(results['class'][i].scores[:, :4], probs[2])


def test_excitation_starts_at_the_last_branch(stage, samples):
    head = stage.roi_head.bbox_head
    assert head.linear_layers() == [*head.shared_fcs, head.refinement.branches[2]]
    feats = torch.rand(5, 12, 4, 4, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([0, 1, 2, 3, 1])
    maps, probs = toy.attention_of(head, feats, labels)
    expected = head(feats)[-1].softmax(1)[:, :4]
    torch.testing.assert_close(probs, expected)
    torch.testing.assert_close(maps.sum((1, 2)), expected[range(5), labels])


def test_calibration_reads_the_branch_in_the_same_pass(stage, samples):
    generator = ProposalCalibration(max_per_tag=1)
    images = [torch.zeros(96, 128, 3, dtype=torch.uint8).numpy()] * 2
    found = toy.labels_of(stage, generator, FEATURE, samples, images)
    for sample, result, (_, _, *branches) in zip(samples, found, logits_of(stage.eval(), samples), strict=True):
        assert result.labels.tolist() == sample.gt_image_labels.onehot.nonzero().flatten().tolist()
        scores = torch.stack([branch.softmax(1) for branch in branches]).mean(0)
        best = [scores[:, label].argmax() for label in result.labels]
        weights = torch.stack([branches[2].softmax(1)[index, label] for index, label in zip(best, result.labels, strict=True)])
        torch.testing.assert_close(result.weights, weights)


def test_backward_validation_teaches_the_class_branch_and_every_refinement_branch(stage, samples):
    pseudo = [sample.pseudo_instances for sample in samples]
    losses = stage.loss(FEATURE, hand_over(samples, pseudo, keep=KEEP))
    expected = 0
    for sample, found, (cls_logits, _, *branches) in zip(samples, pseudo, logits_of(stage, samples), strict=True):
        labels = single_labels(sample.proposals.bboxes, found.bboxes, found.labels, 4)
        expected += sum(torch.nn.functional.cross_entropy(each, labels) for each in (cls_logits, *branches)) / 4 / 2
    torch.testing.assert_close(losses['loss_single_label'], expected)


def test_new_branches_start_from_a_narrow_normal_distribution_beside_weights_from_elsewhere():
    torch.manual_seed(0)
    own = [dict(type='Normal', std=0.01, override=[dict(name='fc_cls'), dict(name='fc_weight')]), dict(type='Constant', layer='X', val=0)]
    head = MILBBoxHead(20, in_channels=64, roi_feat_size=4, fc_channels=(), refinement=dict(type='OICRBranches'), init_cfg=own)
    head.init_weights()
    for branch in (head.fc_cls, *head.refinement.branches):
        assert branch.weight.std().item() == pytest.approx(0.01, rel=0.1) and not branch.bias.any()


def test_the_whole_network_trains_and_hands_on_labels_with_branches_in_its_first_stage(toy_batch):
    config = toy.model_config(stages=('classification', 'detection'))
    config['stages']['classification']['detector']['roi_head']['bbox_head']['refinement'] = dict(type='OICRBranches', num_branches=2)
    net = toy.build(config)
    for trains in ('classification', 'backward', 'forward'):
        losses = net.loss(*toy_batch, trains=trains)
        assert {'classification.loss_refine_1', 'classification.loss_refine_2'} <= set(losses)
        assert ('detection.loss_cls' in losses) == (trains == 'forward')
    assert all(len(labels) for labels in losses['labels']['detection'])


def test_a_first_stage_alone_trains_the_shared_layers_in_a_forward_phase(toy_batch):
    config = toy.model_config(stages=('classification',))
    config['stages']['classification']['detector']['roi_head']['bbox_head']['refinement'] = dict(type='PCLBranches')
    net = toy.build(config)
    for trains, trained in (('classification', False), ('forward', True)):
        net.zero_grad()
        sum(value for name, value in net.loss(*toy_batch, trains=trains).items() if 'loss' in name).backward()
        assert (net.backbone.first.weight.grad is not None) == trained

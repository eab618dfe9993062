"""The whole network."""

import copy
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlabelpenet.models.stage import Stage, share_tails
from mmlabelpenet.models.stage_configs import check_stages
from mmlabelpenet.registry import MODELS


def total(losses):
    return sum(sum(v) if isinstance(v, (list, tuple)) else v for k, v in losses.items() if 'loss' in k)


def train(net, batch, trains, steps=2):
    """Do a few updates with momentum and weight decay, with all parameters in the optimizer; returns the names of changed ones."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    net.train()
    before = toy.weights(net)
    for _ in range(steps):
        optimizer.zero_grad()
        total(net.loss(*copy.deepcopy(batch), trains=trains)).backward()
        optimizer.step()
    return toy.different(before, toy.weights(net))


def parts(names):
    """Backbone or stage of each name."""
    return {name.split('.')[1] if name.startswith('stages') else name.split('.')[0] for name in names}


@pytest.mark.parametrize('stage', toy.STAGES)
def test_in_the_cascade_only_the_stage_that_trains_moves(toy_net, toy_batch, stage):
    moved = train(toy_net, toy_batch, stage)
    assert parts(moved) == {stage}
    assert len(moved) == len(toy.weights(toy_net.stages[stage]))


def test_an_idle_stage_stays_although_it_has_trained_before(toy_net, toy_batch):
    optimizer = torch.optim.SGD(toy_net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    for trains in ('forward', 'detection', 'refinement'):
        before = toy.weights(toy_net)
        optimizer.zero_grad()
        total(toy_net.loss(*copy.deepcopy(toy_batch), trains=trains)).backward()
        optimizer.step()
    assert parts(toy.different(before, toy.weights(toy_net))) == {'refinement'}


def test_the_forward_curriculum_trains_everything(toy_net, toy_batch):
    assert parts(train(toy_net, toy_batch, 'forward')) == {'backbone', *toy.STAGES}


def test_backward_validation_trains_everything_but_the_last_stage(toy_net, toy_batch):
    assert parts(train(toy_net, toy_batch, 'backward')) == {'backbone', *toy.STAGES[:3]}


@pytest.mark.parametrize('trains', ['forward', 'backward'])
def test_a_frozen_backbone_stays_in_recurrent_training_too(toy_batch, trains):
    net = toy.build(toy.model_config(frozen_backbone=True))
    assert 'backbone' not in parts(train(net, toy_batch, trains))


def test_losses_are_named_by_stage(toy_net, toy_batch):
    keys = {}
    for trains in (*toy.STAGES, 'forward', 'backward'):
        keys[trains] = {key for key in toy_net.loss(*copy.deepcopy(toy_batch), trains=trains) if 'loss' in key}
    assert keys['classification'] == {'classification.loss_mil'}
    assert keys['segmentation'] == {f'segmentation.loss_{k}' for k in ('rpn_cls', 'rpn_bbox', 'cls', 'bbox', 'mask')}
    assert keys['forward'] == set().union(*(keys[name] for name in toy.STAGES))
    assert keys['backward'] == keys['forward'] - keys['segmentation'] | {'classification.loss_single_label'}


def test_labels_and_samples_of_the_data_set_stay_as_they_were(toy_net, toy_batch):
    inputs, samples = toy_batch
    before = copy.deepcopy(samples)
    for trains in (*toy.STAGES, 'forward', 'backward'):
        toy_net.loss(inputs, samples, trains=trains)
    for old, new in zip(before, samples, strict=True):
        assert set(old.keys()) == set(new.keys()) == {'gt_image_labels', 'proposals', 'pseudo_instances'}
        assert torch.equal(old.proposals.bboxes, new.proposals.bboxes) and torch.equal(old.proposals.scores, new.proposals.scores)
        assert torch.equal(old.pseudo_instances.labels, new.pseudo_instances.labels)


def test_proposals_do_not_reach_stages_with_an_rpn(toy_net, toy_batch):
    """Neither training, nor labels, nor detections of these stages depend on what was loaded."""
    inputs, samples = toy_batch
    results = []
    for boxes in (samples[0].proposals.bboxes, torch.tensor([[0.0, 0, 3, 3]])):
        for sample in samples:
            sample.proposals = InstanceData(bboxes=boxes, scores=torch.ones(len(boxes)))
        torch.manual_seed(0)
        values = [total(toy_net.train().loss(inputs, copy.deepcopy(samples), trains='detection'))]
        toy_net.eval()
        values += [toy_net.stages['refinement'].labels.label(*told).bboxes for told in toy_net.explain('refinement', inputs, samples)]
        found = toy_net.predict(inputs, copy.deepcopy(samples), stages=toy.STAGES[1:])
        values += [f.stage_predictions[name].bboxes for f in found for name in toy.STAGES[1:]]
        results.append(values)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert sum(len(v) for v in results[0][1:]) > 10


def test_a_stage_is_not_fed_what_the_data_set_knows(toy_net, toy_batch):
    inputs, samples = toy_batch
    seen = {}
    for name, stage in toy_net.stages.items():
        stage.detector.loss = lambda feature, fresh, name=name: seen.setdefault(name, fresh) and dict(loss_x=feature.sum())
    for sample in samples:
        sample.gt_instances = InstanceData(bboxes=torch.full((1, 4), float('nan')))
    for trains in toy.STAGES:
        toy_net.loss(inputs, samples, trains=trains)
    assert set(seen['classification'][0].keys()) == {'proposals', 'gt_image_labels'}
    for name in toy.STAGES[1:]:
        assert set(seen[name][0].keys()) == {'gt_instances'}
        assert torch.equal(seen[name][0].gt_instances.bboxes, samples[0].pseudo_instances.bboxes)


def test_predictions_of_all_stages_are_in_original_pixels(toy_net, toy_batch):
    inputs, samples = toy_batch
    for sample in samples:
        sample.set_metainfo(dict(ori_shape=(48, 64), scale_factor=(2.0, 2.0)))
    outside = toy_net.eval().predict(inputs, copy.deepcopy(samples), stages=toy.STAGES)
    inside = toy_net.predict(inputs, copy.deepcopy(samples), stages=toy.STAGES, rescale=False)
    for a, b in zip(outside, inside, strict=True):
        assert list(a.stage_predictions) == list(toy.STAGES)
        for name in toy.STAGES:
            mine, theirs = a.stage_predictions[name], b.stage_predictions[name]
            torch.testing.assert_close(mine.bboxes * 2, theirs.bboxes)
            assert mine.masks.shape == (len(mine), 48, 64) and theirs.masks.shape == (len(mine), 96, 128)
            assert mine.masks.dtype == torch.bool and torch.equal(mine.labels, theirs.labels)
        assert a.pred_instances is a.stage_predictions['segmentation']


def test_the_last_predicted_stage_is_the_result(toy_batch):
    config = toy.model_config()
    config['test_cfg'] = dict(stages=['classification', 'detection'], max_masks=1)
    net = toy.build(config).eval()
    for sample in net.predict(*toy_batch):
        assert list(sample.stage_predictions) == ['classification', 'detection']
        assert sample.pred_instances is sample.stage_predictions['detection']


def test_the_shared_map_is_what_mode_tensor_gives(toy_net, toy_batch):
    feature = toy_net(toy_batch[0], mode='tensor')
    assert feature.shape == (2, 12, 12, 16) and torch.equal(feature, toy_net.extract_feat(toy_batch[0]))


def test_a_shorter_cascade_works(toy_batch):
    net = toy.build(toy.model_config(stages=('classification', 'detection')))
    assert net.names == ('classification', 'detection')
    assert parts(train(net, toy_batch, 'backward', steps=1)) == {'backbone', 'classification'}


def test_a_stage_set_to_none_is_left_out_and_the_order_is_that_of_the_config(toy_batch):
    config = toy.model_config(stages=('refinement', 'classification', 'detection'))
    config['stages']['classification'] = None
    net = toy.build(config)
    assert net.names == ('refinement', 'detection')
    assert [sample.pred_instances is sample.stage_predictions['detection'] for sample in net.eval().predict(*toy_batch)] == [True, True]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(stages=dict(classification=None)), 'at least one stage'),
        (dict(stages=dict(recurrent=toy.stage_config('detection'))), "got 'recurrent'"),
        (dict(stages=dict(lossless=toy.stage_config('detection'))), "without 'loss'"),
        (dict(test_cfg=dict(stages=['all'])), 'Unknown stage all: the model has classification, detection'),
    ],
)
def test_stages_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        toy.build(toy.model_config() | change)


def test_a_missing_label_generator_is_named():
    config = toy.model_config()
    config['stages']['detection']['labels'] = None
    with pytest.raises(ValueError, match=r"\['detection'\].*model\.stages\.detection\.labels"):
        toy.build(config)


def test_a_stage_learns_from_labels_or_tags():
    config = toy.model_config()
    config['stages']['detection']['learns_from'] = 'boxes'
    with pytest.raises(ValueError, match="'labels' or 'tags', got learns_from='boxes'"):
        toy.build(config)


def test_what_trains_must_be_said_where_there_are_several_stages(toy_net, toy_batch):
    with pytest.raises(ValueError, match='Specify what to train: classification, detection, refinement, segmentation, forward or backward'):
        toy_net.loss(*toy_batch)
    with pytest.raises(ValueError, match='Unknown stage polish'):
        toy_net.loss(*toy_batch, trains='polish')
    assert 'classification.loss_mil' in toy.build(toy.model_config(stages=('classification',))).loss(*toy_batch)


def test_losses_bring_the_labels_that_stages_learn_from_and_the_log_has_no_loss_of_them(toy_net, toy_batch):
    losses = toy_net.loss(*toy_batch, trains='forward')
    assert list(losses['labels']) == list(toy.STAGES[1:]) and all(len(labels) == 2 for labels in losses['labels'].values())
    loss, values = toy_net.parse_losses(losses)
    assert values['labels'] is losses['labels'] and torch.isclose(loss, total(losses))
    assert toy_net.loss(*toy_batch, trains='classification')['labels'] == {}


@pytest.mark.parametrize(('trains', 'expected'), [('forward', [1, 1, 1, 1]), ('backward', [1, 1, 1, 2])])
def test_a_tail_runs_once_for_losses_and_labels(toy_net, toy_batch, trains, expected):
    """In backward validation, the last stage does not learn and processes each image separately."""
    calls = dict.fromkeys(toy.STAGES, 0)
    for name, stage in toy_net.stages.items():
        stage.detector.backbone.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    toy_net.loss(*toy_batch, trains=trains)
    assert list(calls.values()) == expected


@pytest.mark.parametrize('trains', ['forward', 'backward'])
def test_losses_and_labels_are_those_of_tails_that_run_for_each(toy_net, toy_batch, monkeypatch, trains):
    for stage in toy_net.stages.values():
        if stage.detector.with_rpn:  # else anchors whose overlaps tie are matched together or apart by the last bit of a label
            stage.detector.rpn_head.assigner.match_low_quality = False
    found = []
    for once in (True, False):
        if not once:
            monkeypatch.setattr(Stage, 'run_tail', lambda self, feature: None)
        toy_net.zero_grad()
        torch.manual_seed(0)
        losses = toy_net.loss(*copy.deepcopy(toy_batch), trains=trains)
        total(losses).backward()
        found.append((losses, {name: p.grad.clone() for name, p in toy_net.named_parameters() if p.grad is not None}))
    (first, gradients), (second, expected) = found
    for name, labels in first['labels'].items():
        for one, two in zip(labels, second['labels'][name], strict=True):
            torch.testing.assert_close(one.bboxes, two.bboxes)
            assert (one.masks.masks == two.masks.masks).all()
    torch.testing.assert_close(total(first), total(second))
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def test_a_tail_that_is_another_in_training_runs_for_labels_too(toy_net, toy_batch):
    stage, feature = toy_net.stages['detection'], toy_net.extract_feat(toy_batch[0])
    assert stage.run_tail(feature) is not None
    with torch.autocast('cpu'):
        assert stage.run_tail(feature) is None
    stage.detector.backbone.drop = torch.nn.Dropout()
    assert stage.train().run_tail(feature) is None and stage.eval().run_tail(feature) is not None


def test_every_stage_is_initialised_as_its_config_says():
    config = toy.model_config()
    for stage in config['stages'].values():
        stage['detector']['roi_head']['bbox_head']['init_cfg'] = dict(type='Constant', val=0.25, layer='Linear')
    net = toy.build(config)
    net.init_weights()
    for name, stage in net.stages.items():
        layers = [module for module in stage.detector.roi_head.bbox_head.modules() if isinstance(module, torch.nn.Linear)]
        assert layers and all((layer.weight == 0.25).all() for layer in layers), name


def test_building_leaves_the_config_as_it_was():
    config = toy.model_config()
    before = copy.deepcopy(config)
    config = ConfigDict(config)
    MODELS.build(config)
    assert config.to_dict() == before


def test_the_number_of_classes_reaches_every_head():
    net = toy.build(toy.model_config() | dict(num_classes=7))
    heads = [stage.detector.roi_head.bbox_head for stage in net.stages.values()] + [
        net.stages[n].detector.roi_head.mask_head for n in toy.STAGES[2:]
    ]
    assert [head.num_classes for head in heads] == [7] * 6


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('trains', ['refinement', 'forward'])
def test_a_loss_that_is_not_finite_stops_naming_stage_and_images(toy_net, toy_batch, value, trains):
    torch.nn.init.constant_(toy_net.stages['refinement'].detector.roi_head.bbox_head.fc_cls.bias, value)
    with pytest.raises(FloatingPointError, match=r'refinement\.loss_cls.*train_00') as error:
        toy_net.loss(*toy_batch, trains=trains)
    for sample in toy_batch[1]:
        assert sample.img_id in str(error.value)


@pytest.mark.parametrize('parts', [['tail'], ['roi_head'], ['backbone', 'tail', 'roi_head']])
@pytest.mark.parametrize('trains', ['detection', 'refinement', 'forward'])
def test_activations_that_are_computed_again_give_the_same_gradients(toy_net, toy_batch, parts, trains):
    other = toy.build(toy.model_config(recompute=parts))
    for net in (toy_net, other):
        torch.manual_seed(0)
        total(net.loss(*toy_batch, trains=trains)).backward()
    found = {name: p.grad for name, p in other.named_parameters()}
    for name, parameter in toy_net.named_parameters():
        assert (parameter.grad is None) == (found[name] is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-6, rtol=1e-5)


def test_activations_that_are_computed_again_are_not_kept(toy_batch):
    def kept(parts, trains='refinement'):
        net = toy.build(toy.model_config(recompute=parts))
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor):
            net.loss(*toy_batch, trains=trains)
        return sum(sizes)

    assert kept(['tail', 'roi_head']) < kept(['tail']) < kept([])
    assert kept(['backbone'], 'forward') < kept([], 'forward')


def test_other_parts_than_backbone_tail_and_roi_head_cannot_be_computed_again():
    with pytest.raises(ValueError, match=r"got \['neck'\]"):
        toy.build(toy.model_config(recompute=['neck']))
    with pytest.raises(ValueError, match=r"must be a list of parts, got 'tail': use recompute=\['tail'\]"):
        toy.build(toy.model_config(recompute='tail'))


@pytest.mark.parametrize('stage', ['classification', 'detection'])
def test_a_box_head_for_another_roi_size_than_its_extractor_returns_is_refused(stage):
    config = toy.model_config(stages=('classification', 'detection'))
    head = config['stages'][stage]['detector']['roi_head']['bbox_head']
    head['roi_feat_size'] = 5
    with pytest.raises(ValueError, match=r'bbox_head.roi_feat_size is 5, but bbox_roi_extractor returns \(4, 4\)'):
        toy.build(config)


def test_tails_that_return_other_maps_or_are_frozen_are_not_shared():
    tails = [toy.BlockTail() for _ in range(4)]
    tails[1].with_input, _ = True, tails[2].requires_grad_(False)
    detectors = [SimpleNamespace(backbone=tail, roi_head=SimpleNamespace(bbox_head=toy.build(toy.bbox_head()))) for tail in tails]
    share_tails(detectors)
    assert [tails.index(detector.backbone) for detector in detectors] == [0, 1, 2, 0]
    assert len({detector.roi_head.bbox_head.shared_fcs for detector in detectors}) == 1


@pytest.mark.parametrize('change', [dict(mask_size=28), dict(mask_size=(14, 7))])
def test_masks_learnt_in_another_size_than_the_head_predicts_are_refused(change):
    config = toy.model_config()
    config['stages']['refinement']['detector']['train_cfg']['rcnn'].update(change)
    with pytest.raises(ValueError, match=r'rcnn.mask_size is .*, but the masks of the mask head have size \(14, 14\), 2 times'):
        toy.build(config)


@pytest.mark.parametrize(
    ('stage', 'labels', 'said'),
    [
        ('detection', dict(type='MaskAggregation'), "MaskAggregation needs a mask head, and stage 'detection' has none"),
        ('refinement', dict(type='ProposalCalibration'), 'fully connected layers'),
        (None, dict(type='MaskAggregation'), "MaskAggregation needs a mask head, and stage 'detection' has none"),
        (None, dict(type='ClassActivation'), "ClassActivation needs a tag head, and stage 'detection' has none"),
    ],
)
def test_label_generators_that_do_not_fit_the_detector_are_refused_before_hours_of_training(stage, labels, said):
    config = toy.model_config()
    if stage is None:
        config['validation'] = labels
    else:
        config['stages'][stage]['labels'] = labels
    config['stages']['refinement']['detector']['roi_head']['bbox_head']['num_shared_convs'] = 1
    with pytest.raises(ValueError, match=said):
        toy.build(config)


@pytest.mark.parametrize('lacking', ['first', 'second'])
def test_every_stage_but_the_last_needs_a_label_generator(lacking):
    stages = dict(first=dict(labels=dict()), second=dict(labels=dict()), third=dict())
    assert check_stages(stages) == stages
    with pytest.raises(ValueError, match=f"Stages .'{lacking}'. hand over labels to the next"):
        check_stages(stages | {lacking: dict()})

"""Scores, boxes and soft masks of a stage, averaged over its heads and those of all earlier stages."""

import copy

import pytest
import torch
import toy
from mmengine.structures import InstanceData

from mmlabelpenet.calibration.reading import read, suppress
from mmlabelpenet.models.inference.masks import soft_masks
from mmlabelpenet.models.inference.views import detections

LEARNERS = toy.STAGES[1:]


def agreeing(state=None, **stages):
    """The toy model with consensus, with the weights of another one."""
    config = toy.model_config()
    config['consensus'] = True
    config['stages'].update(stages)
    net = toy.build(config).eval()
    if state is not None:
        net.load_state_dict(state)
    return net


@pytest.mark.parametrize('names', [toy.STAGES, ('segmentation',), ('refinement', 'detection')])
def test_candidates_are_means_over_the_heads_so_far_each_on_its_own_maps(toy_batch, names):
    net, (inputs, samples) = agreeing(), toy_batch
    found = net.predict(inputs, copy.deepcopy(samples), stages=names, with_masks=False, rescale=False)
    for prediction, view in zip(found, net.views(inputs, samples), strict=True):
        for name in names:
            (own,) = net.stages[name].read([view])
            proposals, heads = InstanceData(bboxes=own.candidates.rois), []
            for peer in LEARNERS[: LEARNERS.index(name) + 1] if name in LEARNERS else [name]:
                detector = net.stages[peer].detector
                heads.append(read(detector, detector.extract_feat(view.feature), view.sample, proposals, record=False).candidates)
            mean = InstanceData(
                bboxes=sum(each.bboxes for each in heads) / len(heads), scores=sum(each.scores for each in heads) / len(heads)
            )
            expected = suppress(mean, net.stages[name].detector.roi_head.test_cfg)
            assert len(expected) > 2
            for field in ('bboxes', 'scores', 'labels'):
                torch.testing.assert_close(prediction.stage_predictions[name][field], expected[field], rtol=1e-4, atol=1e-4)


def test_masks_are_means_over_the_mask_heads_so_far(toy_batch):
    net = agreeing()
    view = net.views(*toy_batch)[0]
    for name, value in (('refinement', 1.0), ('segmentation', -3.0)):
        net.stages[name].detector.roi_head.mask_head.forward = lambda feats, value=value: torch.full((len(feats), 4, 14, 14), value)
    for name, mean in (('refinement', torch.sigmoid(torch.tensor(1.0))), ('segmentation', torch.tensor([1.0, -3.0]).sigmoid().mean())):
        stage = net.stages[name]
        readings = net.reader.read(name, [view])
        soft = soft_masks(stage.detector, stage.labels, readings, detections(stage.detector, readings), limit=3)
        assert len(soft) > 1 and soft.max() == pytest.approx(float(mean), abs=1 / 255)


def test_mask_heads_may_differ_in_size_and_one_may_be_class_agnostic(toy_batch):
    config = toy.model_config(consensus=True)
    detector = config['stages']['refinement']['detector']
    detector['roi_head'].update(mask_head=dict(toy.mask_head(), class_agnostic=True), mask_roi_extractor=toy.extractor(14, 2))
    detector['train_cfg']['rcnn']['mask_size'] = 28
    net = toy.build(config).eval()
    view, means = net.views(*toy_batch)[0], {}
    for name, (size, values) in dict(refinement=(28, [1.0]), segmentation=(14, [-3.0, -2.0, 0.0, 3.0])).items():
        logits = torch.tensor(values)[None, :, None, None].expand(-1, -1, size, size)
        net.stages[name].detector.roi_head.mask_head.forward = lambda feats, logits=logits: logits.expand(len(feats), -1, -1, -1)
        means[name] = torch.tensor(values).expand(4).sigmoid()
    means['segmentation'] = (means['segmentation'] + means['refinement']) / 2
    for name, mean in means.items():
        stage, readings = net.stages[name], net.reader.read(name, [view])
        found = InstanceData(bboxes=torch.tensor([[8.0, 8, 100, 80]]).repeat(4, 1), scores=torch.ones(4), labels=torch.arange(4))
        soft = torch.from_numpy(soft_masks(stage.detector, stage.labels, readings, found, limit=3))
        torch.testing.assert_close(soft.flatten(1).amax(1), mean, atol=1 / 255, rtol=0)


def test_a_stage_with_none_before_it_is_as_without_consensus(toy_net, toy_batch):
    inputs, samples = toy_batch
    net = agreeing(toy_net.state_dict())
    for name in ('classification', 'detection', 'refinement'):
        before, after = (each.eval().predict(inputs, copy.deepcopy(samples), stages=[name]) for each in (toy_net, net))
        same = all(torch.equal(one.pred_instances.scores, two.pred_instances.scores) for one, two in zip(before, after, strict=True))
        assert same == (name != 'refinement')


def test_peers_are_the_stages_before_that_learn_from_labels_and_none_without_consensus(toy_net):
    def names(net):
        return {name: [stage.name for stage in peers] for name, peers in net.reader.peers.items()}

    assert names(agreeing()) == dict(classification=[], detection=[], refinement=['detection'], segmentation=['detection', 'refinement'])
    assert names(agreeing(classification=None, detection=None)) == dict(refinement=[], segmentation=['refinement'])
    assert names(toy_net) == dict.fromkeys(toy.STAGES, [])


def test_labels_are_made_of_what_the_heads_think_together(toy_net, toy_batch):
    inputs, samples = toy_batch
    net = agreeing(toy_net.eval().state_dict())
    for (_, alone), (_, together), view in zip(
        *(each.explain('refinement', inputs, samples) for each in (toy_net, net)), net.views(inputs, samples), strict=True
    ):
        (own,) = toy_net.stages['refinement'].read([view])
        assert torch.equal(alone.reading.candidates.scores, own.candidates.scores)
        other = toy_net.stages['detection'].score(view, own.candidates.rois)
        torch.testing.assert_close(together.reading.candidates.scores, (own.candidates.scores + other.scores) / 2)
        torch.testing.assert_close(together.reading.candidates.bboxes, (own.candidates.bboxes + other.bboxes) / 2)


@pytest.mark.parametrize('direction', ['forward', 'backward'])
def test_recurrent_fine_tuning_makes_its_labels_of_them_too(toy_net, toy_batch, direction):
    """Labels of the detection stage do not change; those of later stages do."""
    net, made = agreeing(toy_net.state_dict()), []
    for each in (toy_net, net):
        torch.manual_seed(0)
        made.append(each.train().loss(*copy.deepcopy(toy_batch), trains=direction)['labels'])
    alone, together = made
    same = {
        name: all(torch.equal(one.weights, two.weights) for one, two in zip(alone[name], together[name], strict=True)) for name in alone
    }
    assert (
        same
        == dict(
            forward=dict(detection=True, refinement=True, segmentation=False),
            backward=dict(refinement=False, detection=False, classification=True),
        )[direction]
    )

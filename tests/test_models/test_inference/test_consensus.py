"""Scores and boxes of a stage's proposals, averaged over its heads and those of all earlier stages."""

import copy

import pytest
import torch
import toy
from mmengine.structures import InstanceData

from mmlabelpenet.calibration.reading import read, suppress

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

"""Class maps of the first stage weight the scores of all others, in labels and in testing."""

import copy

import pytest
import torch
import toy

from mmlabelpenet.calibration.map_evidence import weigh_by_maps
from mmlabelpenet.engine.label_pass import makers_hash
from mmlabelpenet.models.inference.joint import JointReader

LATER = toy.STAGES[1:]


@pytest.fixture
def net():
    return mapped(map_evidence=True)


def mapped(zooms=(), **settings):
    """The toy network with a tag head, whose first stage has class maps."""
    config = toy.model_config(**settings)
    first = config['stages']['classification']
    first['detector']['roi_head']['tag_head'] = dict(type='TagHead', in_channels=12)
    first['labels'] = dict(type='ClassActivation', max_per_tag=1, min_iou=0.0, threshold=0.3, zooms=zooms)
    net = toy.build(config).eval()
    with torch.no_grad():
        net.stages['classification'].detector.roi_head.tag_head.fc.weight.normal_()
    return net


def test_labels_look_for_the_tags_in_their_maps(net, toy_batch):
    for name in LATER[:-1]:
        for (_, explained), view in zip(net.explain(name, *toy_batch), net.views(*toy_batch), strict=True):
            (alone,) = net.stages[name].read([view])
            expected = weigh_by_maps(alone.candidates, alone.tags, net.stages['classification'].class_maps(view, alone.tags))
            assert expected.scores.sum() > 0
            assert torch.equal(explained.reading.candidates.scores, expected.scores)


def test_detections_look_for_what_the_whole_image_may_show(net, toy_batch):
    inputs, samples = toy_batch
    for stage in net.stages.values():
        stage.detector.roi_head.test_cfg.update(max_per_img=1000, score_thr=1e-6)
    for found, view in zip(net.predict(inputs, copy.deepcopy(samples), stages=LATER), net.views(inputs, samples), strict=True):
        evidence = net.stages['classification'].evidence([view])
        likely = [label for label, score in enumerate(evidence.tolist()) if score >= 0.02] or [int(evidence.argmax())]
        for name in LATER:
            assert set(found.stage_predictions[name].labels.tolist()) <= set(likely)
            (alone,) = net.stages[name].read([view])
            scores = weigh_by_maps(alone.candidates, likely, net.stages['classification'].class_maps(view, likely)).scores
            torch.testing.assert_close(found.stage_predictions[name].scores.max(), scores.max())


@pytest.mark.parametrize('direction', ['forward', 'backward'])
def test_recurrent_fine_tuning_reads_stages_with_them_too(net, toy_batch, direction):
    plain, made = mapped(), []
    plain.load_state_dict(net.state_dict())
    for each in (plain, net):
        torch.manual_seed(0)
        made.append(each.train().loss(*copy.deepcopy(toy_batch), trains=direction)['labels'])
    same = {
        name: all(torch.equal(one.weights, two.weights) and torch.equal(one.bboxes, two.bboxes) for one, two in zip(*pair, strict=True))
        for name, pair in {name: (made[0][name], made[1][name]) for name in made[0]}.items()
    }
    learners_of_the_first = dict(forward={'detection'}, backward=set())[direction]
    assert {name for name, equal in same.items() if equal} == learners_of_the_first


def test_maps_of_enlarged_images_are_read_for_labels_and_boxes_and_each_once(toy_batch, monkeypatch):
    net, runs = mapped(zooms=[1.5], map_evidence=True), []
    compute = net.extract_feat
    monkeypatch.setattr(net, 'extract_feat', lambda inputs: runs.append(inputs.shape) or compute(inputs))
    net.predict(*toy_batch, stages=LATER, with_masks=False)
    assert len(runs) == 2 * len(toy_batch[1])
    runs.clear()
    net.explain('detection', *toy_batch)
    assert len(runs) == 2 * len(toy_batch[1])


def test_labels_depend_on_the_weights_of_the_stage_with_the_maps(net):
    before = {name: makers_hash(net, name) for name in toy.STAGES}
    with torch.no_grad():
        next(net.stages['classification'].parameters())[0] += 1
    assert all(makers_hash(net, name) != before[name] for name in toy.STAGES)


def test_a_model_without_class_maps_is_refused(toy_net):
    with pytest.raises(ValueError, match="needs a stage that learns from tags with labels=dict\\(type='ClassActivation'"):
        JointReader(toy_net.stages, map_evidence=True)

"""Label generators."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData

from mmlabelpenet.calibration import generators
from mmlabelpenet.calibration.attention import class_attention, paste_attention
from mmlabelpenet.calibration.backward import DetectionLabels
from mmlabelpenet.calibration.generators import MaskAggregation, ProposalCalibration
from mmlabelpenet.calibration.objects import find_objects, mask_bbox
from mmlabelpenet.calibration.reading import Reading, head_masks, inference
from mmlabelpenet.models.inference.views import View, crop_maps

GENERATORS = dict(
    classification=lambda **kwargs: ProposalCalibration(crf=toy.CRF, max_per_tag=1, **kwargs),
    detection=lambda **kwargs: ProposalCalibration(crf=toy.CRF, **kwargs),
    refinement=lambda **kwargs: MaskAggregation(crf=toy.CRF, **kwargs),
)


def labels_of(scene, name, generator=None, **kwargs):
    net, feature, samples, images = scene
    return toy.labels_of(net.stages[name].detector, generator or GENERATORS[name](**kwargs), feature, samples, images)


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 3)])
def test_the_size_of_an_image_leaves_its_channels_out(shape):
    assert Reading((), DetDataSample(metainfo=dict(img_shape=shape)), InstanceData()).size == (5, 6)


def readings_of(scene, name):
    net, feature, samples, _ = scene
    return toy.read_batch(net.stages[name].detector, feature, samples, record=True)


def candidates_of(scene, name):
    return [reading.candidates for reading in readings_of(scene, name)]


@pytest.mark.parametrize('name', GENERATORS)
def test_labels_are_checked_pseudo_instances_of_the_tags(scene, name):
    for pseudo, sample in zip(labels_of(scene, name), scene[2], strict=True):
        assert len(pseudo) > 0
        assert pseudo.masks.masks.shape == (len(pseudo), *sample.img_shape)
        assert 0 < pseudo.weights.min() and pseudo.weights.max() <= 1
        tags = set(sample.gt_image_labels.onehot.nonzero().flatten().tolist())
        assert set(pseudo.labels.tolist()) == tags
        assert pseudo.masks.masks.sum(0).max() <= 1  # disjoint


@pytest.mark.parametrize('name', GENERATORS)
def test_labels_carry_no_gradient(scene, name):
    assert scene[1].requires_grad
    for pseudo in labels_of(scene, name):
        assert not pseudo.bboxes.requires_grad and not pseudo.weights.requires_grad
    with inference(scene[0]):
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize('name', [*GENERATORS, 'validator'])
@pytest.mark.parametrize('training', [True, False])
def test_a_generator_leaves_the_training_mode_as_it_was(scene, name, training):
    stage = scene[0].stages['detection' if name == 'validator' else name]
    stage.train(training)
    generator = DetectionLabels() if name == 'validator' else GENERATORS[name]()
    before = {key: module.training for key, module in stage.named_modules()}
    for view in map(View, crop_maps(scene[1], scene[2]), scene[2]):
        (reading,) = stage.read([view], generator)
        stage.explain(reading, generator)
    assert {key: module.training for key, module in stage.named_modules()} == before
    with pytest.raises(AttributeError):
        stage.explain(InstanceData(), generator)
    assert stage.training is training


@pytest.mark.parametrize('name', GENERATORS)
def test_dropout_does_not_disturb_labels(scene, name):
    if name == 'classification':
        scene[0].stages[name].detector.roi_head.bbox_head.dropout = 0.9
    scene[0].train()
    first, second = labels_of(scene, name), labels_of(scene, name)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.bboxes, b.bboxes) and torch.equal(a.weights, b.weights)


@pytest.mark.parametrize('name', GENERATORS)
def test_arguments_stay_as_they_were(scene, name):
    boxes, fields = scene[2][0].proposals.bboxes.clone(), set(scene[2][0].keys())
    image, feature = scene[3][0].copy(), scene[1].clone()
    labels_of(scene, name)
    assert torch.equal(scene[2][0].proposals.bboxes, boxes) and set(scene[2][0].keys()) == fields
    assert np.array_equal(scene[3][0], image) and torch.equal(scene[1], feature)


def test_an_explanation_goes_to_another_process_without_what_the_stage_has_read(scene):
    net, name = scene[0], 'classification'
    reading = readings_of(scene, name)[0]
    with inference(net.stages[name]):
        told = GENERATORS[name]().explain(net.stages[name].detector, reading)
    sent = pickle.loads(pickle.dumps(told))
    assert told.reading is reading and sent.reading is None
    assert np.array_equal(sent.maps, told.maps) and np.array_equal(sent.member_counts, told.member_counts) and len(told.maps)


def test_the_classification_stage_gives_one_object_per_tag_and_others_several(scene):
    for pseudo, sample in zip(labels_of(scene, 'classification'), scene[2], strict=True):
        assert sorted(pseudo.labels.tolist()) == sample.gt_image_labels.onehot.nonzero().flatten().tolist()
    several = labels_of(scene, 'detection', min_score=0.0)
    assert max(len(p) for p in several) > max(int(s.gt_image_labels.onehot.sum()) for s in scene[2])


def test_every_option_of_the_selection_reaches_the_search(scene, monkeypatch):
    options, asked = dict(nms_thr=0.11, max_candidates=12, min_score=0.13, max_overlap=0.14), []
    monkeypatch.setattr(generators, 'find_objects', lambda candidates, tags, **given: asked.append(given) or [])
    labels_of(scene, 'detection', max_per_tag=15, **options)
    assert asked == [options | dict(max_per_tag=15)] * len(scene[2])


@pytest.mark.parametrize('name', ['classification', 'detection'])
def test_calibration_follows_figure_2_step_by_step(scene, name):
    net, _, samples, images = scene
    stage, generator = net.stages[name].detector, GENERATORS[name]()
    readings, found_labels = readings_of(scene, name), labels_of(scene, name)
    for i, sample in enumerate(samples):
        candidates = readings[i].candidates
        objects = find_objects(candidates, readings[i].tags, max_per_tag=1 if name == 'classification' else None)
        maps, weights = [], []
        for found in objects:
            total = torch.zeros(sample.img_shape)
            for member in found.members.tolist():  # one proposal at a time
                roi = candidates.rois[member][None]
                feats = stage.roi_head.bbox_roi_extractor(readings[i].x, bbox2roi([roi]))
                grid, probs = toy.attention_of(stage.roi_head.bbox_head, feats, torch.tensor([found.label]))
                total += paste_attention(grid, roi, sample.img_shape)
                if member == found.best:
                    weights.append(probs[0, found.label])
            maps.append(total)
        segments = generator.crf(images[i], class_attention(torch.stack(maps).detach()).numpy())
        refined = [mask_bbox(segments == k + 1, found.bbox) for k, found in enumerate(objects)]
        assert found_labels[i].labels.tolist() == [found.label for found in objects]
        torch.testing.assert_close(found_labels[i].weights, torch.stack(weights))
        agreement = (found_labels[i].masks.masks == np.stack([mask for _, mask in refined])).mean()
        assert agreement > 0.999  # sums in another order move a pixel now and then
        if agreement == 1:
            torch.testing.assert_close(found_labels[i].bboxes, torch.stack([bbox for bbox, _ in refined]))


def test_aggregation_sums_masks_weighted_by_score(scene):
    stage, generator = scene[0].stages['refinement'].detector, GENERATORS['refinement']()
    for reading, sample in zip(readings_of(scene, 'refinement'), scene[2], strict=True):
        candidates, objects = reading.candidates, find_objects(reading.candidates, reading.tags)
        with torch.no_grad():
            maps, scores = generator.attention_maps(stage, reading, objects)
        for found, total, score in zip(objects, maps, scores, strict=True):
            expected = torch.zeros(sample.img_shape)
            for member in found.members.tolist():
                box = candidates.bboxes[member, found.label][None]
                feats = stage.roi_head.mask_roi_extractor(reading.x, bbox2roi([box]))
                soft = stage.roi_head.mask_head(feats).sigmoid()[:, found.label].detach()
                expected += candidates.scores[member, found.label] * paste_attention(soft, box, sample.img_shape)
            torch.testing.assert_close(total, expected, atol=1e-5, rtol=1e-4)
            assert score == candidates.scores[found.best, found.label]


def test_maps_may_start_at_each_proposals_own_best_tag_or_class(scene):
    reading, stage = readings_of(scene, 'classification')[0], scene[0].stages['classification'].detector
    candidates = reading.candidates
    (found,) = find_objects(candidates, [1], max_per_tag=1)
    found = found._replace(tags=(1, 3))
    rois = candidates.rois[found.members]
    feats = stage.roi_head.bbox_roi_extractor(reading.x, bbox2roi([rois]))
    candidates.scores[found.members[1], 3] = 9
    candidates.scores[found.members[0], 2] = 9
    best = candidates.scores[found.members].argmax(1)
    own = torch.tensor([1, 3])[candidates.scores[found.members][:, [1, 3]].argmax(1)]
    for start, labels in dict(tag=torch.full_like(own, 1), argmax=own, argmax_all=best).items():
        with torch.no_grad():
            generator = ProposalCalibration(start=start)
            maps, boxes = generator.member_maps(stage, reading, found.members, generator.member_labels(reading, found))
        torch.testing.assert_close(maps, toy.attention_of(stage.roi_head.bbox_head, feats, labels)[0])
        assert torch.equal(boxes, rois)
    assert set(own.tolist()) == {1, 3} and best[0] == 2


@pytest.mark.parametrize('name', ['classification', 'refinement'])
def test_objects_that_share_members_have_the_maps_that_each_has_alone(scene, name):
    reading, stage = readings_of(scene, name)[0], scene[0].stages[name].detector
    generator = (ProposalCalibration if name == 'classification' else MaskAggregation)()
    objects = find_objects(reading.candidates, [0, 1], min_score=-1)
    shared = torch.cat([found.members for found in objects]).unique()
    objects = [found._replace(members=shared) for found in objects]
    assert len(objects) > 2 and len(shared) > 2
    taken = []
    compute, generator.member_maps = generator.member_maps, lambda *args: taken.append(len(args[2])) or compute(*args)
    with torch.no_grad():
        maps, scores = generator.attention_maps(stage, reading, objects)
        assert taken == [2 * len(shared)]  # of two classes
        for found, both, score in zip(objects, maps, scores, strict=True):
            (alone,), own = generator.attention_maps(stage, reading, [found])
            torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-6)
            assert torch.equal(own[0], score)


def test_class_agnostic_mask_heads_hand_on_their_only_map(toy_batch):
    config = toy.model_config()
    config['stages']['refinement']['detector']['roi_head']['mask_head']['class_agnostic'] = True
    net, (inputs, samples) = toy.build(config).eval(), toy_batch
    detector = net.stages['refinement'].detector
    reading = toy.read_batch(detector, net.extract_feat(inputs), samples, record=False)[0]
    members = torch.arange(len(reading.candidates))[:3]
    with torch.no_grad():
        maps, boxes = MaskAggregation().member_maps(detector, reading, members, torch.tensor([2, 1, 2])[: len(members)])
        feats = detector.roi_head.mask_roi_extractor(reading.x, bbox2roi([boxes]))
        expected = detector.roi_head.mask_head(feats)[:, 0].sigmoid()
    scores = reading.candidates.scores[members, torch.tensor([2, 1, 2])[: len(members)]]
    torch.testing.assert_close(maps, expected * scores[:, None, None])


def test_weights_are_class_scores_relative_scores_or_one(scene):
    candidates = candidates_of(scene, 'detection')
    one, relative = (labels_of(scene, 'detection', weights=kind) for kind in ('one', 'score'))
    for i, sample in enumerate(scene[2]):
        assert (one[i].weights == 1).all()
        objects = find_objects(candidates[i], sample.gt_image_labels.onehot.nonzero().flatten().tolist())
        scores = torch.tensor([found.score for found in objects])
        torch.testing.assert_close(relative[i].weights, (scores / scores.max()).clamp(min=1e-6))


@pytest.mark.parametrize(
    ('scores', 'weights'), [([], []), ([0.2], [1]), ([0.5, 0.25, -1], [1, 0.5, 1e-6]), ([-2, -1], [1e-6, 1e-6]), ([1e-7, 2e-7], [0.1, 0.2])]
)
def test_relative_scores_are_weights_above_zero_whatever_the_scores(scores, weights):
    objects = [SimpleNamespace(score=score) for score in scores]
    found = ProposalCalibration(weights='score')._weigh(objects, torch.ones(len(scores)))
    torch.testing.assert_close(found, torch.tensor(weights, dtype=torch.float32))


def test_settings_tell_the_class_and_all_options():
    first, second = ProposalCalibration(peak=0.5).settings(), MaskAggregation(peak=0.5).settings()
    assert (first['type'], second['type'], first['peak'], first['start']) == ('ProposalCalibration', 'MaskAggregation', 0.5, 'tag')


def test_class_scores_are_weights_in_their_range():
    found = ProposalCalibration()._weigh([], torch.tensor([0.0, 1e-6, 0.5, 1.0, 1.5]))
    torch.testing.assert_close(found, torch.tensor([1e-6, 1e-6, 0.5, 1, 1]))


def test_without_a_crf_the_strongest_map_wins(scene):
    maps = torch.zeros(2, 4, 4)
    maps[0, :, :2], maps[1, :, 3], maps[1, 0, 2] = 5, 0.1, 0.01
    masks = ProposalCalibration().segment(np.zeros((4, 4, 3), np.uint8), class_attention(maps).numpy())
    assert masks[0].sum() == 8 and masks[0][:, :2].all()
    assert masks[1].sum() == 4 and masks[1][:, 3].all()


@pytest.mark.parametrize('name', GENERATORS)
def test_an_image_without_tags_has_no_labels(scene, name):
    scene[2][0].gt_image_labels.onehot = torch.zeros(4)
    empty, full = labels_of(scene, name)
    assert len(empty) == 0 and empty.masks.masks.shape == (0, *scene[2][0].img_shape)
    assert len(full) > 0


@pytest.mark.parametrize('which', [[0], [0, 1]])
def test_images_without_proposals_have_no_labels(scene, which):
    for index in which:
        scene[2][index].proposals = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0))
    found = labels_of(scene, 'classification')
    assert [len(pseudo) == 0 for pseudo in found] == [index in which for index in range(2)]


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="got 'scores'"):
        ProposalCalibration(weights='scores')
    with pytest.raises(ValueError, match="got 'own'"):
        ProposalCalibration(start='own')


@pytest.mark.parametrize('name', ['detection', 'refinement'])
def test_with_the_proposal_as_box_an_object_is_its_best_candidate_and_the_mask_ends_there(scene, name):
    plain, boxed = (labels_of(scene, name, min_iou=0.0, box=box) for box in ('mask', 'proposal'))
    candidates = candidates_of(scene, name)
    for before, after, found, sample in zip(plain, boxed, candidates, scene[2], strict=True):
        tags = sample.gt_image_labels.onehot.nonzero().flatten().tolist()
        objects = find_objects(found, tags)
        torch.testing.assert_close(after.bboxes, torch.stack([item.bbox for item in objects]))
        assert torch.equal(before.labels, after.labels) and torch.equal(before.weights, after.weights)
        for (x1, y1, x2, y2), first, second in zip(after.bboxes.tolist(), before.masks.masks, after.masks.masks, strict=True):
            expected = np.zeros_like(first)
            rows, columns = slice(max(0, int(y1)), int(np.ceil(y2))), slice(max(0, int(x1)), int(np.ceil(x2)))
            expected[rows, columns] = first[rows, columns]
            assert (second == expected).all()


def test_an_unknown_box_is_refused():
    with pytest.raises(ValueError, match="'mask' or 'proposal', got 'tight'"):
        ProposalCalibration(box='tight')


def move_right(head, label, num_classes=4):
    """Let a head regress all boxes of a class out of the image, so that clipping leaves them without width."""
    with torch.no_grad():
        head.fc_reg.bias.view(num_classes, 4)[label, 0] = 1e4


@pytest.mark.parametrize('name', ['detection', 'refinement', 'validator'])
def test_boxes_that_clipping_empties_become_no_labels(scene, name):
    stage = 'detection' if name == 'validator' else name
    tagged = scene[2][0].gt_image_labels.onehot.nonzero().flatten().tolist()
    scene[2][0].gt_image_labels.onehot[(tagged[0] + 1) % 4] = 1  # a tag beside it
    move_right(scene[0].stages[stage].detector.roi_head.bbox_head, tagged[0])
    scene[0].stages[stage].detector.roi_head.test_cfg.max_per_img = -1  # suppression keeps all boxes without area
    found = labels_of(scene, stage, DetectionLabels() if name == 'validator' else None)[0]
    assert len(found) and tagged[0] not in found.labels and (found.bboxes[:, 2:] > found.bboxes[:, :2]).all()


def test_soft_masks_are_between_zero_and_one():
    found = InstanceData(masks=torch.tensor([[[0, 255], [51, 9]]], dtype=torch.uint8))
    assert head_masks(found, (2, 1)).tolist() == [[[0], [pytest.approx(0.2)]]]
    found = InstanceData(masks=torch.tensor([[[False, True]]]))
    assert head_masks(found, (1, 2)).tolist() == [[[0, 1]]]


@pytest.mark.parametrize('name', ['detection', 'refinement', 'segmentation'])
def test_the_rpn_runs_although_proposals_were_loaded(scene, name):
    scene[2][0].proposals = InstanceData(bboxes=torch.tensor([[0.0, 0, 5, 5]]), scores=torch.ones(1))
    candidates, _ = candidates_of(scene, name)
    assert len(candidates) > 10


@pytest.mark.parametrize('name', toy.STAGES)
def test_candidates_are_all_proposals_with_a_box_per_class(scene, name):
    candidates = candidates_of(scene, name)
    for found, sample in zip(candidates, scene[2], strict=True):
        assert found.bboxes.shape == (len(found), 4, 4) and found.scores.shape == (len(found), 4) and found.rois.shape == (len(found), 4)
        if name == 'classification':
            assert torch.equal(found.rois, sample.proposals.bboxes)
            assert torch.equal(found.bboxes[:, 2], sample.proposals.bboxes)


def test_an_object_whose_mask_lies_elsewhere_is_a_box_only_from_a_settable_overlap_on(scene):
    never, always = (labels_of(scene, 'detection', min_iou=value) for value in (0.0, 1.1))
    assert sum(pseudo.masks.areas.sum() for pseudo in always) == 0 < sum(pseudo.masks.areas.sum() for pseudo in never)
    candidates = candidates_of(scene, 'detection')
    for i, sample in enumerate(scene[2]):
        objects = find_objects(candidates[i], sample.gt_image_labels.onehot.nonzero().flatten().tolist())
        torch.testing.assert_close(always[i].bboxes, torch.stack([found.bbox for found in objects]))


def test_a_lower_peak_makes_objects_larger(scene):
    areas = [sum(pseudo.masks.areas.sum() for pseudo in labels_of(scene, 'classification', peak=peak)) for peak in (1.0, 0.5)]
    assert areas[0] < areas[1]


@pytest.mark.parametrize('peak', [0.0, 1.5])
def test_a_peak_outside_its_range_is_refused(peak):
    with pytest.raises(ValueError, match=f'peak is a quantile in .0, 1., got {peak}'):
        ProposalCalibration(peak=peak)

"""Views of an image, merged before NMS."""

import copy

import numpy as np
import pytest
import torch
import toy
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from mmlabelpenet.apis.augment import view_pipeline
from mmlabelpenet.calibration.reading import read, suppress
from mmlabelpenet.models.inference.masks import soft_masks
from mmlabelpenet.models.inference.tta import LabelPENetTTA
from mmlabelpenet.models.inference.views import detections, merge_candidates, merge_proposals, move_boxes, move_maps
from mmlabelpenet.registry import DATASETS

FIELDS = ('bboxes', 'scores', 'labels', 'masks')


def stages(*slow):
    """All stages, some of them in the slow run only."""
    return [pytest.param(name, marks=pytest.mark.slow if name in slow else ()) for name in toy.STAGES]


@pytest.fixture
def net(toy_net):
    """In evaluation mode, with mask heads that find something."""
    for name in ('refinement', 'segmentation'):
        torch.nn.init.normal_(toy_net.stages[name].detector.roi_head.mask_head.conv_logits.weight, std=0.5)
    return toy_net.eval()


def views_of(toy_root, scales, flip):
    """A batch of two images, as the test data loader gives it."""
    config = toy.dataset_config(toy_root, train=False)
    config['pipeline'] = view_pipeline(config['pipeline'], scales, flip)
    dataset = DATASETS.build(config)
    return pseudo_collate([dataset[0], dataset[1]])


def plain(net, toy_root):
    dataset = DATASETS.build(toy.dataset_config(toy_root, train=False))
    return net.test_step(pseudo_collate([dataset[0], dataset[1]]) | dict(stages=toy.STAGES))


def augmented(net, data, **asked):
    return LabelPENetTTA(net).test_step(copy.deepcopy(data) | dict(stages=toy.STAGES) | asked)


def readings_of(net, name, data, index=0):
    """What a stage reads in the views of an image."""
    batches = [
        net.data_preprocessor(copy.deepcopy(dict(inputs=inputs, data_samples=samples)), False)
        for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True)
    ]
    views = [net.views(batch['inputs'], batch['data_samples'])[index] for batch in batches]
    return views, net.stages[name].read(views)


def mirrored(data):
    """The same batch with flipped images and proposals, without flip flags."""
    data = copy.deepcopy(data)
    data['inputs'] = [[image.flip(-1) for image in images] for images in data['inputs']]
    for samples in data['data_samples']:
        for sample in samples:
            x1, y1, x2, y2 = sample.proposals.bboxes.unbind(1)
            width = sample.img_shape[1]
            sample.proposals.bboxes = torch.stack([width - x2, y1, width - x1, y2], 1)
    return data


@pytest.mark.parametrize('copies', [pytest.param(1, marks=pytest.mark.slow), 2])
def test_identical_views_give_what_one_view_gives_without_augmentation(net, toy_root, copies):
    expected = plain(net, toy_root)
    found = augmented(net, views_of(toy_root, [1.0] * copies, False))
    for one, other in zip(found, expected, strict=True):
        assert list(one.stage_predictions) == list(toy.STAGES)
        for name in toy.STAGES:
            got, wanted = one.stage_predictions[name], other.stage_predictions[name]
            assert len(wanted) > 2 and wanted.masks.any()
            for field in ('bboxes', 'scores', 'labels'):
                torch.testing.assert_close(got[field], wanted[field], rtol=1e-5, atol=1e-4)
            assert (got.masks != wanted.masks).float().mean() < 1e-3
        assert one.pred_instances is one.stage_predictions['segmentation']


def test_the_evidence_of_the_whole_image_is_the_mean_of_all_views(net, toy_root):
    data, config = views_of(toy_root, [1.0], True), toy.model_config()
    config['test_cfg']['image_evidence'] = True
    weighing = toy.build(config).eval()
    weighing.load_state_dict(net.state_dict())
    for stage in (*net.stages.values(), *weighing.stages.values()):
        stage.detector.roi_head.test_cfg.update(max_per_img=1000, score_thr=0)
    before, after = (augmented(each, data, with_masks=False) for each in (net, weighing))
    for index, (one, two) in enumerate(zip(before, after, strict=True)):
        views, _ = readings_of(net, 'classification', data, index)
        shares = [net.stages['classification'].evidence([view]) for view in views]
        assert not torch.allclose(*shares)
        for name in toy.STAGES:
            first, second = one.stage_predictions[name], two.stage_predictions[name]
            expected = first.scores if name == 'classification' else first.scores * ((shares[0] + shares[1]) / 2)[first.labels]
            torch.testing.assert_close(second.scores, expected.sort(descending=True).values)


@pytest.mark.parametrize('name', stages('detection', 'refinement'))
def test_a_mirrored_image_has_mirrored_results_where_each_view_is_seen_mirrored_too(net, toy_root, name):
    if net.stages[name].detector.roi_head.with_mask:  # the CRF does not see the same from both sides
        net.inference.refinement.crf = None
    data = views_of(toy_root, [1.0], True)
    found, other = augmented(net, data, stages=[name]), augmented(net, mirrored(data), stages=[name])
    for one, two in zip(found, other, strict=True):
        width, one, two = one.ori_shape[1], one.pred_instances, two.pred_instances
        assert len(one) > 2 and one.masks.any()
        x1, y1, x2, y2 = two.bboxes.unbind(1)
        back = torch.stack([width - x2, y1, width - x1, y2], 1)
        for box, label, score, mask in zip(one.bboxes, one.labels, one.scores, one.masks, strict=True):
            same = int((back - box).abs().sum(1).add(1e3 * (two.labels != label)).argmin())
            torch.testing.assert_close(back[same], box, rtol=1e-4, atol=1e-2)
            torch.testing.assert_close(two.scores[same], score, rtol=1e-4, atol=1e-5)
            differing = (two.masks[same].flip(1) != mask).sum()
            assert differing <= (0.1 * mask.sum() + 2 if net.inference.refinement.crf is None else 0.05 * mask.numel())


def slow_candidates(net, name, views):
    """Scores of each view for each proposal of the first view, one at a time, averaged in the first view's frame by hand."""
    detector, rows = net.stages[name].detector, []
    xs = [detector.extract_feat(view.feature) for view in views]
    proposals = merge_proposals(detector, xs, [view.sample for view in views]).bboxes
    for proposal in proposals.tolist():
        boxes, scores = [], []
        for x, view in zip(xs, views, strict=True):
            sample, first = view.sample, views[0].sample
            sx, sy = (sample.img_shape[1] / first.img_shape[1], sample.img_shape[0] / first.img_shape[0])
            width = sample.img_shape[1]
            x1, y1, x2, y2 = proposal[0] * sx, proposal[1] * sy, proposal[2] * sx, proposal[3] * sy
            there = [width - x2, y1, width - x1, y2] if sample.get('flip', False) else [x1, y1, x2, y2]
            found = read(detector, x, sample, InstanceData(bboxes=torch.tensor([there])), record=False).candidates
            moved = []
            for bx1, by1, bx2, by2 in found.bboxes[0].tolist():
                bx1, bx2 = (width - bx2, width - bx1) if sample.get('flip', False) else (bx1, bx2)
                moved.append([bx1 / sx, by1 / sy, bx2 / sx, by2 / sy])
            boxes.append(moved)
            scores.append(found.scores[0].tolist())
        rows.append((np.mean(boxes, 0), np.mean(scores, 0)))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


@pytest.mark.parametrize('name', stages('detection', 'refinement')[1:])  # scores of the first stage depend on all proposals of an image
def test_scores_and_boxes_are_the_mean_of_all_views_before_suppression(net, toy_root, name):
    views, readings = readings_of(net, name, views_of(toy_root, [1.0, 1.5], True))
    merged = merge_candidates(readings)
    with torch.no_grad():
        boxes, scores = slow_candidates(net, name, views)
    assert len(views) == 4 and len(boxes) > 5
    np.testing.assert_allclose(merged.bboxes.numpy(), boxes, atol=1e-2)
    np.testing.assert_allclose(merged.scores.numpy(), scores, atol=1e-5)


def test_the_first_stage_averages_the_matrices_of_its_scores(net, toy_root):
    data, detector = views_of(toy_root, [1.0, 1.25], False), net.stages['classification'].detector
    views, readings = readings_of(net, 'classification', data)
    with torch.no_grad():
        alone = [
            read(detector, detector.extract_feat(view.feature), view.sample, view.sample.proposals, record=False).candidates.scores
            for view in views
        ]
    merged = merge_candidates(readings)
    assert not torch.allclose(alone[0], alone[1], rtol=1e-2)
    torch.testing.assert_close(merged.scores, (alone[0] + alone[1]) / 2, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(merged.bboxes[:, 2], data['data_samples'][0][0].proposals.bboxes, atol=1e-3, rtol=0)


def test_proposals_of_all_views_are_suppressed_together(net, toy_root):
    detector = net.stages['detection'].detector
    views, _ = readings_of(net, 'detection', views_of(toy_root, [1.0, 1.5], True))
    samples = [view.sample for view in views]
    with torch.no_grad():
        maps = [detector.extract_feat(view.feature) for view in views]
        alone = [detector.rpn_head.predict(x, [sample], rescale=False)[0] for x, sample in zip(maps, samples, strict=True)]
        merged = merge_proposals(detector, maps, samples)
    pool = torch.cat([move_boxes(a.bboxes, sample, samples[0]) for a, sample in zip(alone, samples, strict=True)])
    scores, kept = torch.cat([each.scores for each in alone]), []
    for index in scores.argsort(descending=True, stable=True).tolist():
        if all(overlap(pool[index], pool[other]) <= detector.rpn_head.test_cfg.nms.iou_threshold for other in kept):
            kept.append(index)
    kept = kept[: detector.rpn_head.test_cfg.max_per_img]
    torch.testing.assert_close(merged.bboxes, pool[kept])
    torch.testing.assert_close(merged.scores, scores[kept])
    origin = [sum(index >= limit for limit in np.cumsum([len(each) for each in alone])) for index in kept]
    assert len(set(origin)) > 2  # of several views


def overlap(one, other):
    corner, far = torch.maximum(one[:2], other[:2]), torch.minimum(one[2:], other[2:])
    common = float((far - corner).clamp(min=0).prod())
    return common / (float((one[2:] - one[:2]).prod()) + float((other[2:] - other[:2]).prod()) - common)


def test_masks_lie_where_the_boxes_are_in_original_pixels(net, toy_root):
    net.inference.refinement.crf = None
    for sample in augmented(net, views_of(toy_root, [1.5, 1.0], True)):
        for name, found in sample.stage_predictions.items():
            assert found.masks.shape == (len(found), *sample.ori_shape) and found.masks.dtype == torch.bool, name
            for box, mask in zip(found.bboxes.tolist(), found.masks.numpy(), strict=True):
                if name in ('refinement', 'segmentation') and mask.any():
                    rows, columns = mask.nonzero()
                    assert columns.min() >= box[0] - 2 and columns.max() <= box[2] + 2 and rows.min() >= box[1] - 2
                    assert rows.max() <= box[3] + 2
            assert found.masks.any(), name


def test_a_mask_is_the_mean_over_the_views_of_the_mask_heads_probabilities(net, toy_root, monkeypatch):
    detector = net.stages['segmentation'].detector
    _, readings = readings_of(net, 'segmentation', views_of(toy_root, [1.0], True))
    constants = iter([1.0, -3.0])
    monkeypatch.setattr(detector.roi_head.mask_head, 'forward', lambda x: torch.full((len(x), 4, 14, 14), next(constants)))
    with torch.no_grad():
        soft = soft_masks(detector, None, readings, detections(detector, readings), limit=3)
    mean = (1 / (1 + np.exp(-1)) + 1 / (1 + np.exp(3))) / 2
    assert soft.max() == pytest.approx(mean, abs=1 / 255)


def test_maps_of_a_mirrored_and_larger_view_return_to_the_first():
    first, larger = (DetDataSample(metainfo=dict(img_shape=shape, flip=flip)) for shape, flip in (((10, 20), False), ((20, 40), True)))
    maps = torch.zeros(1, 20, 40)
    maps[0, :, 30:] = 1
    back = move_maps(maps, larger, first)
    assert back.shape == (1, 10, 20) and back[0, :, :4].min() > 0.9 and back[0, :, 6:].max() < 0.1
    there = move_maps(back, first, larger)
    assert there.shape == (1, 20, 40) and there[0, :, 32:].min() > 0.9 and there[0, :, :28].max() < 0.1
    assert move_maps(maps[:0], larger, first).shape == (0, 10, 20)
    assert move_maps(maps, larger, larger) is maps


def test_boxes_go_to_another_view_and_return(toy_root):
    samples = [views[0] for views in views_of(toy_root, [1.0, 1.5], True)['data_samples']]
    boxes = torch.rand(7, 3, 4) * 60
    for one in samples:
        for other in samples:
            torch.testing.assert_close(move_boxes(move_boxes(boxes, one, other), other, one), boxes, atol=1e-4, rtol=0)


def test_an_image_without_proposals_has_no_detections(net, toy_root):
    data = views_of(toy_root, [1.0, 1.5], True)
    for samples in data['data_samples']:
        samples[0].proposals = samples[0].proposals[:0]
    first = augmented(net, data)[0].stage_predictions['classification']
    assert len(first) == 0 and first.masks.shape[0] == 0
    none = InstanceData(bboxes=torch.zeros(0, 4, 4), scores=torch.zeros(0, 4))
    assert len(suppress(none, net.stages['detection'].detector.roi_head.test_cfg)) == 0


def test_no_augmentation_of_batches_changes_a_view(net, toy_root, monkeypatch):
    kind, modes = type(net.data_preprocessor), []
    monkeypatch.setattr(kind, 'forward', lambda self, data, training=False, real=kind.forward: modes.append(training) or real(self, data))
    augmented(net, views_of(toy_root, [1.0], True), stages=['detection'])
    assert modes == [False] * 2


def test_without_masks_boxes_are_the_same(net, toy_root):
    data = views_of(toy_root, [1.0, 1.25], True)
    full = augmented(net, data)
    for one, other in zip(augmented(net, data, with_masks=False), full, strict=True):
        for name, found in one.stage_predictions.items():
            assert 'masks' not in found and torch.equal(found.bboxes, other.stage_predictions[name].bboxes)


def test_a_first_view_that_is_mirrored_is_an_error(net, toy_root):
    data = views_of(toy_root, [1.0], True)
    data = {key: value[::-1] for key, value in data.items()}
    with pytest.raises(ValueError, match='first view is flipped'):
        augmented(net, data)


def test_views_add_no_maps_to_a_cache(net, toy_root, monkeypatch):
    asked, real = [], type(net).views
    monkeypatch.setattr(type(net), 'views', lambda self, *args, **kwargs: asked.append(kwargs['store']) or real(self, *args, **kwargs))
    augmented(net, views_of(toy_root, [1.0], True), stages=['detection'])
    assert asked == [False] * 2


def test_a_much_larger_map_is_reduced_to_means():
    large, small = (DetDataSample(metainfo=dict(img_shape=(side, side))) for side in (16, 4))
    maps = torch.zeros(1, 16, 16)
    maps[..., ::4] = 1
    assert move_maps(maps, large, small).sub(0.25).abs().max() < 0.15

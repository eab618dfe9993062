"""First labels from class activation maps: thresholds, enlargements of the image, and spreading to similar places."""

import copy

import numpy as np
import pytest
import torch
import toy
from torch.nn import functional as F

from mmlabelpenet.calibration.generators import Explanation
from mmlabelpenet.calibration.reading import inference
from mmlabelpenet.models.feature_cache import FeatureCache
from mmlabelpenet.models.inference.image import Inference
from mmlabelpenet.models.inference.joint import JointReader
from mmlabelpenet.workbench.variants import ClassActivation
from mmlabelpenet.workbench.variants.class_activation import otsu_threshold, spread


@pytest.fixture
def net():
    net = toy.net_with_tag_head()
    net.stages['classification'].detector.backbone = toy.BlockTail()
    return net


def test_labels_cover_what_reaches_the_threshold_and_weigh_as_probable_as_the_tag_is(net, toy_batch):
    inputs, samples = toy_batch[0], copy.deepcopy(toy_batch[1])
    stage, feature = net.eval().stages['classification'], net.extract_feat(inputs)
    images = net.data_preprocessor.images(inputs, samples)
    for index, sample in enumerate(samples):
        sample.gt_image_labels.onehot[:] = 0
        sample.gt_image_labels.onehot[index] = 1
        (reading,) = toy.read_batch(stage.detector, feature[index : index + 1], samples[index : index + 1], record=False)
        generator = ClassActivation(threshold=0.3, max_per_tag=1, min_iou=0.0)
        with inference(stage):
            explanation = generator.explain(stage.detector, reading)
        labels = generator.label(images[index], explanation)
        (tag,), (height, width) = reading.tags, reading.size
        maps = stage.detector.roi_head.tag_head.activation_maps(reading.x[-1][0])[tag].clamp(min=0)
        enlarged = F.interpolate(maps[None, None], scale_factor=8, mode='bilinear')[0, 0, :height, :width]
        expected = enlarged > 0.3 * enlarged.max()
        assert expected.any() and torch.equal(torch.from_numpy(labels.masks.masks[0]).bool(), expected)
        torch.testing.assert_close(labels.weights, stage.detector.roi_head.image_evidence(reading.x, sample)[[tag]])


@pytest.mark.parametrize('settings', [{}, dict(spread=dict())])
def test_a_stage_without_tag_head_and_a_tail_without_levels_where_maps_spread_are_refused(settings):
    config = toy.model_config()
    config['stages']['classification']['labels'] = dict(type='ClassActivation', **settings)
    with pytest.raises(ValueError, match="needs a tag head, and stage 'classification' has none"):
        toy.build(config)
    config['stages']['classification']['detector']['roi_head']['tag_head'] = dict(type='TagHead', in_channels=12)
    if settings:
        with pytest.raises(ValueError, match='ToyTail has none'):
            toy.build(config)
    else:
        toy.build(config)


@pytest.mark.parametrize('threshold', [0, 0.6])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ValueError, match='share of the maximum'):
        ClassActivation(threshold=threshold)


def test_maps_spread_as_the_definition_of_a_random_walk_says():
    torch.manual_seed(0)
    maps, levels = torch.rand(2, 3, 4), [torch.randn(5, 3, 4), torch.randn(7, 3, 4)]
    cosines = torch.stack([F.cosine_similarity(f.flatten(1)[:, :, None], f.flatten(1)[:, None], dim=0) for f in levels]).mean(0)
    expected = maps.flatten(1).clone()
    for _ in range(3):
        walked = torch.zeros_like(expected)
        for place in range(12):
            chances = cosines[place].clamp(min=0) ** 2
            walked[:, place] = (expected * chances / chances.sum()).sum(1)
        expected = walked
    torch.testing.assert_close(spread(maps, levels, power=2, steps=3).flatten(1), expected)


def test_places_without_similar_features_receive_nothing_and_a_constant_map_stays():
    feature = torch.tensor([[[1.0, 2.0, -1.0]], [[0.0, 0.0, 0.0]]])
    torch.testing.assert_close(spread(torch.tensor([[[1.0, 0.0, 0.0]]]), [feature]), torch.tensor([[[0.5, 0.5, 0.0]]]))
    torch.manual_seed(0)
    torch.testing.assert_close(spread(torch.ones(1, 4, 5), [torch.randn(6, 4, 5)]), torch.ones(1, 4, 5))


def _explained(net, toy_batch, **settings):
    net.stages['classification'].labels = ClassActivation(max_per_tag=1, min_iou=0.0, **settings)
    return [explanation.maps for _, explanation in net.eval().explain('classification', *toy_batch)]


def test_a_label_pass_averages_the_maps_of_the_image_and_of_its_enlargements(net, toy_batch):
    inputs, samples = toy_batch
    found = _explained(net, toy_batch, zooms=[1.5], threshold=0.5)
    stage = net.stages['classification']
    detector, head = stage.detector, stage.detector.roi_head.tag_head
    for index, sample in enumerate(samples):
        own = inputs[index : index + 1, :, : sample.pad_shape[0], : sample.pad_shape[1]]
        tags = sample.gt_image_labels.onehot.nonzero().flatten().tolist()
        maps = []
        for image in (own, F.interpolate(own, scale_factor=1.5, mode='bilinear')):
            with inference(stage):
                each = head.activation_maps(detector.extract_feat(net.extract_feat(image))[-1][0])[tags].clamp(min=0)
            maps.append(each / each.flatten(1).amax(1).clamp(min=1e-9)[:, None, None])
        mean = (F.interpolate(maps[0][None], maps[1].shape[1:], mode='bilinear')[0] + maps[1]) / 2
        height, width = sample.img_shape[:2]
        size = [round(side * 8 / 1.5) for side in mean.shape[1:]]
        expected = F.interpolate(mean[None], size, mode='bilinear')[0, :, :height, :width]
        expected = expected / expected.flatten(1).amax(1).clamp(min=1e-9)[:, None, None]
        torch.testing.assert_close(torch.from_numpy(found[index]), expected)


def test_a_map_that_spreads_differs_and_reads_the_levels_of_the_tail(net, toy_batch):
    plain, moved = _explained(net, toy_batch), _explained(net, toy_batch, spread=dict(power=1))
    assert all(a.shape == b.shape and (a.sum() == 0 or abs(a - b).max() > 0.01) for a, b in zip(plain, moved, strict=True))


def test_predictions_and_labels_read_the_same_enlargements(net, toy_batch):
    labels = _explained(net, toy_batch, zooms=[1.5], spread=dict())
    for sample, maps in zip(net.predict(*toy_batch, stages=['classification'], explain=True), labels, strict=True):
        assert (sample.explanations['classification'].maps == maps).all()


def test_boxes_alone_need_no_enlargement(net, toy_batch, monkeypatch):
    net.stages['classification'].labels = ClassActivation(zooms=[1.5])
    runs, compute = [], net.extract_feat
    monkeypatch.setattr(net, 'extract_feat', lambda inputs: runs.append(inputs.shape) or compute(inputs))
    net.eval().predict(*toy_batch, stages=['classification'], with_masks=False)
    boxes = len(runs)
    net.predict(*toy_batch, stages=['classification'], with_masks=True)
    assert boxes == len(toy_batch[1]) and len(runs) - boxes == 2 * boxes


def test_other_settings_are_other_labels_for_a_store():
    settings = [
        ClassActivation(**each).settings()
        for each in ({}, dict(zooms=[1.5]), dict(spread=dict()), dict(spread=dict(steps=3)), dict(core=1.0, cut=dict(type='SuperpixelCut')))
    ]
    assert all(a != b for i, a in enumerate(settings) for b in settings[:i])


@pytest.mark.parametrize('zoom', [1.0, float('nan'), float('inf')])
def test_a_factor_that_does_not_enlarge_is_refused(zoom):
    with pytest.raises(ValueError, match='factors above 1'):
        ClassActivation(zooms=[zoom])


def test_cuts_start_from_the_core_of_a_map_and_may_grow_to_its_threshold(net, toy_batch):
    wholes = _explained(net, toy_batch, threshold=0.3)
    coreds = _explained(net, toy_batch, threshold=0.3, core=0.9, cut=dict(type='SuperpixelCut'))
    generator = net.stages['classification'].labels
    for whole, cored in zip(wholes, coreds, strict=True):
        masks = cored > 0.5
        assert np.array_equal(masks, whole > 0.5)  # the object is the same
        for one, other in zip(whole, cored, strict=True):
            order = np.argsort(one[one < 1])
            assert (np.diff(other[one < 1][order]) >= -1e-6).all()  # up to its top, one is a growing function of the other
        cores = generator.cores(masks, cored)
        assert cores.any() and cores.sum() < masks.sum() and (cored[cores] == 1).all()
        assert np.array_equal(ClassActivation(threshold=0.3).cores(masks, cored), masks)


def test_an_object_without_a_core_starts_from_all_of_it():
    masks = np.ones((1, 2, 3), bool)
    assert ClassActivation(core=0.9, cut=dict(type='SuperpixelCut')).cores(masks, np.full((1, 2, 3), 0.7, np.float32)).all()


def test_an_object_whose_cut_fails_keeps_its_mask_not_only_the_core(monkeypatch):
    generator = ClassActivation(core=0.9, threshold=0.3, min_iou=0.0, cut=dict(type='SuperpixelCut'))
    monkeypatch.setattr(type(generator.cut), '__call__', lambda self, image, mask, *rest: np.zeros_like(mask))
    maps = np.zeros((1, 80, 100), np.float32)
    maps[0, 20:60, 20:80], maps[0, 35:45, 40:55] = 0.7, 1
    explanation = Explanation(maps, np.float32([[20, 20, 80, 60]]), np.array([0]), np.float32([0.9]), np.array([1]))
    pseudo = generator.label(np.full((80, 100, 3), 90, np.uint8), explanation)
    assert pseudo.bboxes.tolist() == [[20, 20, 80, 60]]
    np.testing.assert_array_equal(pseudo.masks.masks[0].astype(bool), maps[0] > 0.5)


def test_otsus_threshold_is_that_of_the_definition():
    values = torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) ** 3
    grey = (values * 255).byte().double()

    def within(threshold):
        parts = [part for part in (grey[grey <= threshold], grey[grey > threshold]) if len(part)]
        return sum(len(part) * part.var(correction=0) for part in parts)

    best = min(range(256), key=within)
    assert otsu_threshold(values) == pytest.approx(best / 255)


@pytest.mark.parametrize(('core', 'message'), [(-1, 'core must be at least 0'), ('high', 'core must be at least 0')])
def test_a_core_that_is_no_number_is_refused(core, message):
    with pytest.raises(ValueError, match=message):
        ClassActivation(core=core, cut=dict(type='SuperpixelCut'))


def test_a_core_without_a_cut_is_refused():
    with pytest.raises(ValueError, match='core is where cuts start, and there is no cut'):
        ClassActivation(core=0.9)


def test_mixed_precision_reaches_the_maps_neither_in_recurrent_iterations_nor_in_predictions(net, toy_batch):
    net.stages['classification'].labels = ClassActivation(max_per_tag=1, min_iou=0.0, zooms=[1.5], spread={})
    inputs, samples = toy_batch
    with torch.autocast('cpu', torch.bfloat16):
        losses = net.train().loss(inputs, copy.deepcopy(samples), trains='forward')
        net.inference = Inference(JointReader(net.stages, map_evidence=True), net.names)
        net.eval().predict(inputs, copy.deepcopy(samples))
    assert torch.isfinite(losses['detection.loss_cls']) and losses['labels']['detection'][0].bboxes.dtype == torch.float32


def test_class_maps_of_a_stage_that_does_not_train_are_kept_until_its_weights_change(net, toy_batch, tmp_path, monkeypatch):
    net.feature_cache = net.stages['classification'].cache = FeatureCache(tmp_path)
    stage, computed, real = net.stages['classification'], [], ClassActivation._raw_maps
    monkeypatch.setattr(ClassActivation, '_raw_maps', lambda *args: computed.append(args) or real(*args))
    enlarged, enlarge = [], net._enlarged_map
    monkeypatch.setattr(net, '_enlarged_map', lambda *args: enlarged.append(args) or enlarge(*args))

    def maps(**settings):
        stage.labels = ClassActivation(max_per_tag=1, min_iou=0.0, **settings)
        (view, *_) = net.views(*toy_batch)
        return stage.class_maps(view, [0, 2]), len(computed)

    net.eval()
    first, _ = maps(zooms=[1.5], spread={})
    assert torch.equal(first, maps(zooms=[1.5], spread={})[0]) and len(computed) == len(enlarged) == 1
    assert maps(zooms=[1.5], spread=dict(steps=1))[1] == 2 and maps(threshold=0.4)[1] == 3
    with torch.no_grad():
        next(stage.detector.roi_head.tag_head.parameters())[0] += 1
    assert not torch.equal(first, maps(zooms=[1.5], spread={})[0]) and len(computed) == 4
    net.train()
    files = len(list(tmp_path.rglob('*.map')))
    assert maps(zooms=[1.5], spread={})[1] == 5 and len(list(tmp_path.rglob('*.map'))) == files

"""Masks at test time."""

import numpy as np
import pytest
import torch
import toy
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlabelpenet.calibration import ProposalCalibration
from mmlabelpenet.models.inference.masks import MaskRefinement, rescale_result, resize_masks, supported_objects
from mmlabelpenet.structures import hand_over
from mmlabelpenet.workbench.variants.superpixel_cut import SuperpixelCut

CUT = dict(type='SuperpixelCut', moves_boxes=1)


def scene():
    """A bright square on black, and a soft mask that is 3 pixels off."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 230
    soft = np.zeros((1, 60, 80), np.float32)
    soft[0, 23:43, 33:53] = 0.8
    found = InstanceData(bboxes=torch.tensor([[28.0, 18, 54, 44]]), scores=torch.tensor([0.9]), labels=torch.tensor([2]))
    return image, found, soft


def test_masks_snap_to_the_image():
    image, found, soft = scene()
    mask = MaskRefinement(crf=dict(bilateral_xy=30))(image, found, soft).masks[0]
    expected = np.zeros((60, 80), bool)
    expected[20:40, 30:50] = True
    assert (mask & expected).sum() / (mask | expected).sum() > 0.95


def test_without_a_crf_masks_are_cut_at_one_half():
    image, found, soft = scene()
    soft[0, 0, 0] = 0.5
    np.testing.assert_array_equal(MaskRefinement()(image, found, soft).masks, soft > 0.6)


@pytest.mark.parametrize('limit', [dict(max_masks=0), dict(min_score=0.95)])
def test_beyond_the_limits_masks_are_only_cut(limit):
    image, found, soft = scene()
    soft[0, 0, 0] = 0.5
    result = MaskRefinement(crf=toy.CRF, cut=CUT, **limit)(image, found, soft)
    np.testing.assert_array_equal(result.masks, soft > 0.5)
    assert torch.equal(result.bboxes, found.bboxes)


def test_a_score_at_the_limit_is_refined():
    image, found, soft = scene()
    found.scores = torch.tensor([0.75])
    refined, cut = (MaskRefinement(crf=dict(bilateral_xy=30), min_score=limit)(image, found, soft).masks for limit in (0.75, 0.76))
    assert (cut == (soft > 0.5)).all() and (refined != cut).any()


@pytest.mark.parametrize('crf', [None, dict(bilateral_xy=30)])
@pytest.mark.parametrize('cut', [CUT, dict(CUT, size=2)])
def test_masks_are_cut_by_their_colours_after_the_crf(crf, cut):
    image, found, soft = scene()
    if crf is None:
        soft[0, :, 40:] = 0
    expected = image[..., 0] > 0
    plain, cut = (MaskRefinement(crf=crf, cut=cut)(image, found, soft).masks[0] for cut in (None, cut))
    assert (cut & expected).sum() / (cut | expected).sum() > 0.95
    if crf is None:
        assert (plain & expected).sum() / (plain | expected).sum() < 0.5


def test_an_unknown_cut_is_refused():
    with pytest.raises(KeyError, match='Grab is not in the mmlabelpenet::task util registry'):
        MaskRefinement(cut=dict(type='Grab'))


def test_boxes_are_tight_around_what_is_cut_out_and_nothing_else_changes():
    image, found, soft = scene()
    detected = found.bboxes.clone()
    assert torch.equal(MaskRefinement(crf=dict(bilateral_xy=30))(image, found, soft).bboxes, detected)
    result = MaskRefinement(cut=CUT)(image, found, soft)
    assert result.bboxes.tolist() == [[30, 20, 50, 40]] and result.bboxes.dtype == detected.dtype
    assert torch.equal(found.bboxes, detected) and 'masks' not in found  # a new object
    assert torch.equal(result.scores, found.scores) and torch.equal(result.labels, found.labels)


def test_only_the_best_boxes_are_cut():
    image, one, soft = scene()
    found = InstanceData.cat([one, one])
    result = MaskRefinement(cut=CUT, max_masks=1)(image, found, np.repeat(soft, 2, 0))
    assert result.bboxes.tolist() == [[30, 20, 50, 40], one.bboxes[0].tolist()]


def test_where_the_cut_finds_nothing_box_and_mask_stay(monkeypatch):
    image, found, soft = scene()
    monkeypatch.setattr(SuperpixelCut, '__call__', lambda self, image, mask, *rest: np.zeros_like(mask))
    result = MaskRefinement(cut=CUT)(image, found, soft)
    np.testing.assert_array_equal(result.masks, soft > 0.5)
    assert torch.equal(result.bboxes, found.bboxes)


def test_outside_the_surroundings_of_its_box_a_mask_is_empty():
    image, found, soft = scene()
    soft[0, :5, :5] = 0.9
    mask = MaskRefinement(crf=toy.CRF, margin=0.1)(image, found, soft).masks[0]
    assert mask.any() and not mask[:10].any()


def test_boxes_at_and_beyond_the_border_do_no_harm():
    image, _, soft = scene()
    boxes = torch.tensor([[0.0, 0, 80, 60], [80, 60, 80, 60], [-10, -10, -5, -5], [79.5, 59.5, 80, 60]])
    found = InstanceData(bboxes=boxes, scores=torch.ones(4), labels=torch.zeros(4))
    masks = MaskRefinement(crf=toy.CRF)(image, found, np.repeat(soft, 4, 0)).masks
    assert masks.shape == (4, 60, 80) and masks.dtype == bool


def predicted(net, batch, name, refinement):
    """Detections without and with masks."""
    stage = net.eval().stages[name]
    readings = [(stage.read([view]), image) for view, image in zip(net.views(*batch), net.data_preprocessor.images(*batch), strict=True)]
    return [[stage.predict(*reading, masks) for reading in readings] for masks in (None, refinement)]


@pytest.mark.parametrize('name', toy.STAGES)
def test_every_stage_gets_masks_and_keeps_its_detections(toy_net, toy_batch, name):
    if toy_net.stages[name].detector.with_mask:
        torch.nn.init.constant_(toy_net.stages[name].detector.roi_head.mask_head.conv_logits.bias, 3)
    for before, after in zip(*predicted(toy_net, toy_batch, name, MaskRefinement(max_masks=2)), strict=True):
        assert len(after) > 2 and torch.equal(before.bboxes, after.bboxes) and torch.equal(before.scores, after.scores)
        assert after.masks.shape == (len(after), 96, 128) and after.masks[:2].any((1, 2)).any()
        if name in ('classification', 'detection'):
            assert not after.masks[2:].any()


@pytest.mark.parametrize('name', toy.STAGES)
def test_detections_are_those_of_mmdets_own_detector(toy_net, toy_batch, name):
    found, _ = predicted(toy_net, toy_batch, name, None)
    detector, inputs = toy_net.stages[name].detector, toy_batch[0]
    fresh = hand_over(toy_batch[1], keep=('proposals',) if name == 'classification' else ())
    with torch.no_grad():
        expected = detector.predict(toy_net.extract_feat(inputs), fresh, rescale=False)
    for one, other in zip(found, expected, strict=True):
        for field in ('bboxes', 'scores', 'labels'):
            torch.testing.assert_close(one[field], other.pred_instances[field], atol=1e-3, rtol=1e-4)


def test_a_detection_is_supported_by_the_best_of_those_that_it_would_suppress():
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 7], [0, 0, 8, 6], [0, 0, 8, 4], [20, 0, 28, 8]])
    candidates = InstanceData(
        bboxes=boxes[:, None].expand(-1, 2, 4), scores=torch.tensor([[0.0, 0.1], [0, 0.3], [0, 0.2], [0, 0.9], [0, 1]])
    )
    found = InstanceData(bboxes=boxes[:1], scores=torch.tensor([0.5]), labels=torch.tensor([1]))
    for limit, members in ((9, [0, 1, 2]), (1, [0, 1]), (2, [0, 1, 2])):  # an overlap of just the threshold is none; the nearest is one
        generator = ProposalCalibration(nms_thr=0.5, max_candidates=limit)
        (one,) = supported_objects(generator, candidates, found)
        assert one.members.tolist() == members and (one.label, one.best, one.score, one.tags) == (1, 0, 0.5, (1,))


def test_a_stage_without_mask_head_and_generator_has_no_masks(toy_batch):
    net = toy.build(toy.model_config(stages=('classification', 'detection')))
    net.stages['detection'].labels = None
    _, masked = predicted(net, toy_batch, 'detection', MaskRefinement())
    assert all('masks' not in found for found in masked)


@pytest.mark.parametrize('name', toy.STAGES)
def test_images_without_detections_have_no_masks(toy_net, toy_batch, name):
    toy_net.stages[name].detector.roi_head.test_cfg.score_thr = 1e9
    none, masked = predicted(toy_net, toy_batch, name, MaskRefinement(crf=toy.CRF))
    assert [len(found) for found in none] == [0, 0] and [found.masks.shape for found in masked] == [(0, 96, 128)] * 2


def test_results_leave_the_frame_of_the_network_as_new_objects():
    bboxes, masks = torch.tensor([[4.0, 4, 8, 8]]), np.ones((1, 10, 20), bool)
    found = InstanceData(bboxes=bboxes, scores=torch.ones(1), labels=torch.zeros(1), masks=masks)
    sample = DetDataSample(metainfo=dict(scale_factor=(2.0, 0.5), ori_shape=(20, 10)))
    new = rescale_result(found, sample)
    assert new.bboxes.tolist() == [[2, 8, 4, 16]] and new.masks.shape == (1, 20, 10)
    assert found.bboxes.tolist() == [[4, 4, 8, 8]] and found.masks.shape == (1, 10, 20)


def test_masks_change_size_to_the_nearest_pixel():
    mask = np.array([[[True, False], [False, True]]])
    np.testing.assert_array_equal(resize_masks(mask, (4, 4))[0], np.kron(mask[0], np.ones((2, 2))) > 0)
    assert resize_masks(mask, (2, 2)) is mask
    assert resize_masks(mask[:0], (5, 6)).shape == (0, 5, 6)


def test_only_stages_that_hand_labels_on_are_explained(toy_net, toy_batch):
    for sample in toy_net.eval().predict(*toy_batch, stages=toy.STAGES, with_masks=False, explain=True):
        assert list(sample.explanations) == list(toy.STAGES[:-1])

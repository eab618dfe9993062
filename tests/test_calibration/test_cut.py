"""Cutting objects out by their colours."""

import cv2
import numpy as np
import pytest
import torch

from mmlabelpenet.calibration.colour_cut import ColourCut
from mmlabelpenet.calibration.cut import GrabCut, build_cuts, cut_out
from mmlabelpenet.calibration.generators import Explanation, ProposalCalibration


def disc(h=90, w=120, noise=12):
    """A noisy red disc on noisy green, its mask, and a guess of it that is shifted and half as wide."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:h, :w]
    truth = (rows - 45) ** 2 + (columns - 60) ** 2 < 24**2
    image = np.where(truth[..., None], (200, 60, 60), (60, 150, 70)) + rng.normal(scale=noise, size=(h, w, 3))
    guess = (rows - 40) ** 2 + (columns - 55) ** 2 < 15**2
    return image.clip(0, 255).astype(np.uint8), truth, guess


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


@pytest.mark.parametrize('max_size', [None, 80, 1000])
def test_a_poor_guess_becomes_the_object(max_size):
    image, truth, guess = disc()
    assert iou(guess, truth) < 0.45
    cut = GrabCut(max_size=max_size)(image, guess, (34, 19, 86, 71))
    assert cut.dtype == bool and cut.shape == truth.shape
    assert iou(cut, truth) > (0.95 if max_size != 80 else 0.9)


def test_one_round_of_fitting_and_cutting_is_the_default(monkeypatch):
    rounds, real = [], cv2.grabCut
    monkeypatch.setattr(cv2, 'grabCut', lambda *given: rounds.append(given[5]) or real(*given))
    for cut in (GrabCut(), GrabCut(iterations=3)):
        cut(disc()[0], disc()[2], (34, 19, 86, 71))
    assert rounds == [1, 3]


def test_an_empty_guess_stands_for_the_box():
    image, truth, guess = disc()
    cut = GrabCut()(image, np.zeros_like(guess), (30, 15, 90, 75))
    assert iou(cut, truth) > 0.95


def test_beyond_the_margin_of_its_box_there_is_no_object():
    image, truth, guess = disc()
    box = (40, 25, 60, 65)
    outside = np.ones_like(guess)
    outside[21:69, 38:62] = False
    assert (GrabCut(margin=1.5)(image, guess, box) & outside).sum() > 500
    assert not (GrabCut(margin=0.1)(image, guess, box) & outside).any()


def test_what_belongs_to_others_is_left_to_them():
    image, truth, guess = disc()
    others = np.zeros_like(guess)
    others[:, 60:] = True
    box = (34, 19, 86, 71)
    assert (GrabCut()(image, guess & ~others, box) & others).sum() > 500
    assert not (GrabCut()(image, guess & ~others, box, others) & others).any()


@pytest.mark.parametrize('box', [(0, 0, 120, 90), (-20, -20, 140, 110), (118, 88, 120, 90), (130, 100, 140, 110), (5, 5, 5, 5)])
def test_boxes_at_and_beyond_the_border_do_no_harm(box):
    image, truth, guess = disc()
    for start in (guess, np.zeros_like(guess), np.ones_like(guess)):
        cut = GrabCut()(image, start, box)
        assert cut.shape == guess.shape and cut.dtype == bool


def test_one_colour_leaves_a_mask_within_the_bounds():
    flat = np.full((60, 80, 3), 90, np.uint8)
    guess = np.zeros((60, 80), bool)
    guess[20:40, 20:40] = True
    cut = GrabCut()(flat, guess, (18, 18, 42, 42))
    assert not cut[:15].any() and not cut[:, 45:].any()


def test_it_gives_the_same_whatever_ran_before_and_changes_nothing_that_it_is_given():
    image, truth, guess = disc(noise=60)
    before = image.copy(), guess.copy()
    first = GrabCut()(image, guess, (34, 19, 86, 71))
    cv2.setRNGSeed(7)
    np.testing.assert_array_equal(GrabCut()(image, guess, (34, 19, 86, 71)), first)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(guess, before[1])


@pytest.mark.parametrize('settings', [dict(iterations=0), dict(margin=-0.1)])
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(ValueError, match='iterations >= 1 and margin >= 0'):
        GrabCut(**settings)
    assert GrabCut(iterations=1, margin=0).margin == 0  # the least


def told(maps, proposals):
    labels, weights = np.arange(len(maps)), np.ones(len(maps), np.float32)
    return Explanation(np.asarray(maps, np.float32), np.asarray(proposals, np.float32), labels, weights, labels)


@pytest.mark.parametrize(('type', 'pixels'), [('ColourCut', 2), ('GrabCut', 1)])
@pytest.mark.parametrize('box', ['mask', 'proposal'])
def test_labels_are_cut_and_their_boxes_are_tight_around_the_cut(box, type, pixels):
    image, truth, guess = disc()
    found = told([guess], [(36, 21, 84, 69)])
    (plain,), (cut,) = (
        ProposalCalibration(box=box, cut=cut).label(image, found).masks.masks.astype(bool) for cut in (None, dict(type=type, margin=0.6))
    )
    assert iou(cut, truth) > 0.95 > 0.5 > iou(plain, truth)
    pseudo = ProposalCalibration(box=box, cut=dict(type=type, margin=0.6)).label(image, found)
    rows, columns = truth.any(1).nonzero()[0], truth.any(0).nonzero()[0]
    expected = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    assert (pseudo.bboxes[0] - expected).abs().max() <= pixels


@pytest.mark.parametrize('type', ['ColourCut', 'GrabCut'])
def test_an_object_without_any_mask_gets_one_from_its_box(type):
    image, truth, guess = disc()
    found = told([np.zeros_like(guess)], [(30, 15, 90, 75)])
    pseudo = ProposalCalibration(box='proposal', cut=dict(type=type)).label(image, found)
    assert iou(pseudo.masks.masks[0].astype(bool), truth) > 0.95


def test_where_the_cut_finds_nothing_box_and_mask_stay():
    image = np.full((40, 60, 3), 90, np.uint8)
    guess = np.zeros((40, 60), bool)
    guess[10, 10:13] = True  # too few pixels for a mixture: they are the cut
    pseudo = ProposalCalibration(box='proposal', cut=dict()).label(image, told([guess], [(5, 5, 50, 35)]))
    assert pseudo.bboxes[0].tolist() == [5, 5, 50, 35]
    np.testing.assert_array_equal(pseudo.masks.masks[0].astype(bool), guess)


def test_a_cut_that_does_not_move_boxes_gives_the_same_masks():
    image, _, guess = disc()
    box = torch.tensor([36.0, 21, 84, 69])
    (moved, first), (kept, second) = (GrabCut(moves_boxes=moves).box_and_mask(image, guess, box) for moves in (True, False))
    assert torch.equal(kept, box) and not torch.equal(moved, box)
    np.testing.assert_array_equal(first, second)


def test_each_cut_starts_from_what_the_one_before_found():
    image, _, guess = disc()
    soft, boxes = guess[None] * 0.9, torch.tensor([[40.0, 25, 66, 52]])
    first, second = ColourCut(margin=0.5), GrabCut(margin=0.3)
    expected = second.boxes_and_masks(image, *reversed(first.boxes_and_masks(image, soft, boxes)))
    found = cut_out(build_cuts([dict(type='ColourCut', margin=0.5), dict(margin=0.3)]), image, soft, boxes)
    assert torch.equal(found[0], expected[0]) and not torch.equal(found[0], cut_out((second,), image, soft, boxes)[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_without_cuts_boxes_stay_and_masks_are_those_above_a_half():
    image, _, guess = disc()
    boxes = torch.tensor([[34.0, 19, 86, 71]])
    found = cut_out(build_cuts(None), image, guess[None] * 0.6, boxes)
    assert found[0] is boxes
    np.testing.assert_array_equal(found[1][0], guess)


@pytest.mark.parametrize('type', ['ColourCut', 'GrabCut'])
def test_neighbours_do_not_take_each_others_pixels(type):
    image, truth, guess = disc()
    left, right = guess.copy(), np.zeros_like(guess)
    left[:, 60:] = False
    right[30:60, 58:80] = True
    image[right] = (30, 30, 220)
    pseudo = ProposalCalibration(cut=dict(type=type, margin=0.5)).label(
        image, told([left & ~right, right], [(36, 21, 60, 69), (58, 30, 80, 60)])
    )
    first, second = pseudo.masks.masks.astype(bool)
    assert iou(second, right) > 0.95 and iou(first, truth & ~right) > 0.8 and not (first & right).any()


def test_several_objects_are_cut_as_each_alone():
    image, truth, guess = disc()
    guesses, boxes = (
        np.stack([guess * 0.9, truth * 0.6, guess * 0.0]),
        torch.tensor([[34.0, 19, 86, 71], [30, 15, 90, 75], [0, 0, 120, 90]]),
    )
    bboxes, masks = GrabCut().boxes_and_masks(image, guesses, boxes)
    for soft, box, tight, mask in zip(guesses, boxes, bboxes, masks, strict=True):
        alone = GrabCut().box_and_mask(image, soft > 0.5, box)
        assert torch.equal(alone[0], tight)
        np.testing.assert_array_equal(alone[1], mask)

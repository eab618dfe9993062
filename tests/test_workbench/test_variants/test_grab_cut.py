"""Cutting objects out by their colours."""

import cv2
import numpy as np
import pytest
import torch
from discs import disc, iou

from mmlabelpenet.workbench.variants.grab_cut import GrabCut


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


def test_a_cut_that_does_not_move_boxes_gives_the_same_masks():
    image, _, guess = disc()
    box = torch.tensor([[36.0, 21, 84, 69]])
    (moved, first), (kept, second) = (GrabCut(moves_boxes=moves).boxes_and_masks(image, guess[None] * 1.0, box) for moves in (True, False))
    assert torch.equal(kept, box) and not torch.equal(moved, box)
    np.testing.assert_array_equal(first, second)
    halfway, third = GrabCut(moves_boxes=0.5).boxes_and_masks(image, guess[None] * 1.0, box)
    torch.testing.assert_close(halfway, (moved + kept) / 2)
    np.testing.assert_array_equal(first, third)


def test_several_objects_are_cut_as_each_alone():
    image, truth, guess = disc()
    guesses, boxes = (
        np.stack([guess * 0.9, truth * 0.6, guess * 0.0]),
        torch.tensor([[34.0, 19, 86, 71], [30, 15, 90, 75], [0, 0, 120, 90]]),
    )
    bboxes, masks = GrabCut().boxes_and_masks(image, guesses, boxes)
    for soft, box, tight, mask in zip(guesses, boxes, bboxes, masks, strict=True):
        alone = GrabCut().boxes_and_masks(image, soft[None], box[None])
        assert torch.equal(alone[0][0], tight)
        np.testing.assert_array_equal(alone[1][0], mask)


@pytest.mark.parametrize(('moves_boxes', 'min_fill', 'expected'), [(1, 0.6, 1.0), (0, 0.6, 0.5), (0.5, 0.6, 0.75), (0.5, 0.0, None)])
def test_a_box_that_its_cut_does_not_fill_starts_from_the_initial_mask(moves_boxes, min_fill, expected):
    """The expected box lies between those of the initial mask (half the size of the object) and of the cut (the object)."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 250
    guess = np.zeros((1, 60, 80), np.float32)
    guess[0, 25:35, 35:45] = 1
    whole = torch.tensor([[5.0, 5, 75, 55]])
    boxes, masks = GrabCut(moves_boxes=moves_boxes, min_fill=min_fill).boxes_and_masks(image, guess, whole)
    assert np.array_equal(masks[0], image[..., 0] > 0)
    if expected is None:
        assert torch.equal(boxes, (whole + torch.tensor([[30.0, 20, 50, 40]])) / 2)
    else:
        half = 10 * expected
        assert boxes.tolist() == [[40 - half, 30 - half, 40 + half, 30 + half]]

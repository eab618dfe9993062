"""Cutting many objects out by their colours at once."""

import cv2
import numpy as np
import pytest
import torch
from discs import disc, iou

from mmlabelpenet.workbench.variants.colour_cut import (
    BINS,
    NEIGHBOURS,
    ColourCut,
    colour_log_odds,
    contrast_weights,
    log_odds,
    neighbour_sums,
)

BOX = torch.tensor([[34.0, 19, 86, 71]])


def soft(mask):
    return mask[None].astype(np.float32) * 0.9


@pytest.mark.parametrize('size', [24, 48, 96])
def test_a_poor_guess_becomes_the_object_and_its_box_is_tight(size):
    image, truth, guess = disc()
    assert iou(guess, truth) < 0.45
    boxes, (mask,) = ColourCut(size=size).boxes_and_masks(image, soft(guess), BOX)
    assert mask.dtype == bool and mask.shape == truth.shape
    assert iou(mask, truth) > (0.9 if size == 24 else 0.95)
    rows, columns = np.nonzero(mask)
    assert boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


def test_objects_of_an_image_do_not_depend_on_each_other():
    image, truth, guess = disc()
    boxes = torch.tensor([[34.0, 19, 86, 71], [20, 10, 100, 80], [50, 30, 70, 60]])
    guesses = np.concatenate([soft(guess), soft(truth), soft(~truth)])
    together = ColourCut().boxes_and_masks(image, guesses, boxes)
    for index in range(3):
        (box,), (mask,) = ColourCut().boxes_and_masks(image, guesses[index : index + 1], boxes[index : index + 1])
        assert torch.equal(box, together[0][index])
        np.testing.assert_array_equal(mask, together[1][index])


def test_the_arguments_stay_as_they_were():
    image, _, guess = disc()
    given = image.copy(), soft(guess), BOX.clone()
    ColourCut().boxes_and_masks(*given)
    assert np.array_equal(given[0], image) and np.array_equal(given[1], soft(guess)) and torch.equal(given[2], BOX)


def test_beyond_the_margin_of_its_box_there_is_no_object():
    image, truth, guess = disc()
    box = torch.tensor([[40.0, 25, 60, 65]])
    outside = np.ones_like(guess)
    outside[20:70, 37:63] = False
    assert (ColourCut(margin=1.5, surroundings=1.5).boxes_and_masks(image, soft(guess), box)[1][0] & outside).sum() > 500
    assert not (ColourCut(margin=0.1).boxes_and_masks(image, soft(guess), box)[1][0] & outside).any()


def test_without_colours_that_differ_the_guess_decides():
    guess = disc()[2]
    _, (mask,) = ColourCut(size=64).boxes_and_masks(np.full((90, 120, 3), 90, np.uint8), soft(guess), BOX)
    assert iou(mask, guess) > 0.85


@pytest.mark.parametrize('box', [(0, 0, 120, 90), (-20, -20, 140, 110), (118, 88, 120, 90), (130, 100, 140, 110), (5, 5, 5, 5)])
@pytest.mark.parametrize('guess', [0.0, 1.0])
def test_boxes_at_and_beyond_the_border_do_no_harm(box, guess):
    boxes, masks = ColourCut().boxes_and_masks(
        disc()[0], np.full((1, 90, 120), guess, np.float32), torch.tensor([box], dtype=torch.float32)
    )
    assert boxes.shape == (1, 4) and boxes.isfinite().all() and masks.shape == (1, 90, 120)


def test_an_object_that_comes_out_elsewhere_keeps_box_and_guess():
    image, _, guess = disc()
    box = torch.tensor([[60.0, 45, 160, 140]])
    boxes, (mask,) = ColourCut(steps=0, rounds=1, trust=100.0).boxes_and_masks(image, soft(guess), box)
    assert torch.equal(boxes, box)
    np.testing.assert_array_equal(mask, guess)


def test_a_cell_is_near_a_box_where_its_centre_is():
    near = ColourCut(size=4)._inside([0, 2, 4, 8], (slice(0, 8), slice(0, 8)), 0.25)  # centres 1, 3, 5, 7; -1 < x < 5, 0.5 < y < 9.5
    assert np.array_equal(near, np.outer([True] * 4, [True, True, False, False]))


def test_a_pixel_halfway_between_cells_of_object_and_background_is_background(monkeypatch):
    monkeypatch.setattr(ColourCut, '_assign', lambda *_: np.array([[[-1, 1], [-1, 1]]], np.float32))
    cut = ColourCut(size=2, surroundings=0)
    boxes, (mask,) = cut.boxes_and_masks(np.zeros((5, 5, 3), np.uint8), np.zeros((1, 5, 5), np.float32), torch.tensor([[0.0, 0, 5, 5]]))
    assert boxes.tolist() == [[3, 0, 5, 5]] and mask[:, 3:].all() and mask.sum() == 10


def test_a_guess_of_one_half_is_background():
    _, masks = ColourCut().boxes_and_masks(disc()[0], np.full((1, 90, 120), 0.5, np.float32), torch.tensor([[130.0, 100, 140, 110]]))
    assert not masks.any()


def test_no_object_is_none():
    boxes, masks = ColourCut().boxes_and_masks(disc()[0], np.zeros((0, 90, 120), np.float32), torch.zeros(0, 4))
    assert boxes.shape == (0, 4) and masks.shape == (0, 90, 120)


@pytest.mark.parametrize('wrong', [dict(size=0), dict(rounds=0), dict(steps=-1), dict(margin=-0.1)])
def test_settings_that_give_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match='must be at least'):
        ColourCut(**wrong)


def test_the_sums_over_neighbours_are_those_of_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    colours, state = rng.integers(0, 256, (2, 4, 5, 3)).astype(np.uint8), rng.normal(size=(2, 4, 5))
    expected = np.zeros_like(state)
    for n in range(2):
        pairs = [
            ((y, x), (y + dy, x + dx)) for y in range(4) for x in range(5) for dy, dx in NEIGHBOURS if 0 <= y + dy < 4 and 0 <= x + dx < 5
        ]
        squares = [((colours[n][a].astype(float) - colours[n][b]) ** 2).sum() for a, b in pairs]
        for (a, b), square in zip(pairs, squares, strict=True):
            weight = np.exp(-square / (2 * np.mean(squares))) / np.hypot(a[0] - b[0], a[1] - b[1])
            expected[n][a] += weight * state[n][b]
            expected[n][b] += weight * state[n][a]
    np.testing.assert_allclose(neighbour_sums(contrast_weights(colours), state), expected, rtol=1e-4, atol=1e-5)


def test_colours_are_as_likely_as_they_are_common():
    lab = np.zeros((1, 10, 10, 3), np.uint8)
    lab[0, 5:] = 255
    share = np.zeros((1, 10, 10))
    share[0, 4:] = 1  # of the first colour 10 of 50 cells are the object's, of the second all
    odds = colour_log_odds(lab, share)
    assert odds[0, 0, 0] == pytest.approx(np.log((10 / 60) / (40 / 40)), abs=0.05)
    assert odds[0, 9, 9] == pytest.approx(4)
    assert BINS**3 > 2  # two colours lie in two cells of the histogram


def test_colours_beside_that_of_the_object_are_as_likely_along_each_axis():
    lab = np.array([[[[100, 100, 100], [130, 100, 100]], [[100, 130, 100], [100, 100, 130]]]], np.uint8)
    odds = colour_log_odds(lab, np.array([[[1.0, 0], [0, 0]]]))[0]
    assert odds[0, 0] > odds[0, 1] and np.allclose([odds[1, 0], odds[1, 1]], odds[0, 1])


def test_one_step_of_the_field_is_the_formula():
    image, _, guess = disc()
    cut = ColourCut(size=16, rounds=1, steps=1)
    part = (slice(0, 90), slice(0, 120))
    colours, small = (cut._reduced(array)[None] for array in (image[part], soft(guess)[0][part]))
    inside = np.zeros((1, 16, 16), bool)
    inside[:, 2:-2, 3:-3] = True
    lab = cv2.cvtColor(colours[0], cv2.COLOR_RGB2LAB)[None]
    unary = cut.trust * log_odds(small) + colour_log_odds(lab, np.where(inside, small, 0))
    state = np.where(inside, np.tanh(unary / 2), -1)
    odds = unary + cut.smoothness * neighbour_sums(contrast_weights(colours), state)
    np.testing.assert_allclose(cut._assign(colours, small, inside), np.where(inside, 2 / (1 + np.exp(-odds)) - 1, -1), atol=1e-5)

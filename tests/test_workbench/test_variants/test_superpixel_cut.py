"""Cutting objects out by their colours."""

from itertools import product

import cv2
import numpy as np
import pytest
import torch
from discs import disc, iou
from scipy.sparse import coo_matrix
from scipy.stats import multivariate_normal

from mmlabelpenet.workbench.variants.superpixel_cut import SuperpixelCut
from mmlabelpenet.workbench.variants.superpixels import Superpixels, contrast, log_density, products, superpixels


@pytest.mark.parametrize('max_size', [None, 80, 1000])
def test_a_poor_guess_becomes_the_object(max_size):
    image, truth, guess = disc()
    assert iou(guess, truth) < 0.45
    cut = SuperpixelCut(max_size=max_size)(image, guess, (34, 19, 86, 71))
    assert cut.dtype == bool and cut.shape == truth.shape
    assert iou(cut, truth) > (0.95 if max_size != 80 else 0.9)


def test_an_empty_guess_stands_for_the_box():
    image, truth, guess = disc()
    cut = SuperpixelCut()(image, np.zeros_like(guess), (30, 15, 90, 75))
    assert iou(cut, truth) > 0.95


def test_beyond_the_margin_of_its_box_there_is_no_object():
    image, truth, guess = disc()
    box = (40, 25, 60, 65)
    outside = np.ones_like(guess)
    outside[21:69, 38:62] = False
    assert (SuperpixelCut(margin=1.5)(image, guess, box) & outside).sum() > 500
    assert not (SuperpixelCut(margin=0.1)(image, guess, box) & outside).any()


def test_what_belongs_to_others_is_left_to_them():
    image, truth, guess = disc()
    others = np.zeros_like(guess)
    others[:, 60:] = True
    box = (34, 19, 86, 71)
    assert (SuperpixelCut()(image, guess & ~others, box) & others).sum() > 500
    assert not (SuperpixelCut()(image, guess & ~others, box, others) & others).any()


@pytest.mark.parametrize('box', [(0, 0, 120, 90), (-20, -20, 140, 110), (118, 88, 120, 90), (130, 100, 140, 110), (5, 5, 5, 5)])
def test_boxes_at_and_beyond_the_border_do_no_harm(box):
    image, truth, guess = disc()
    for start in (guess, np.zeros_like(guess), np.ones_like(guess)):
        cut = SuperpixelCut()(image, start, box)
        assert cut.shape == guess.shape and cut.dtype == bool


def test_one_colour_leaves_a_mask_within_the_bounds():
    flat = np.full((60, 80, 3), 90, np.uint8)
    guess = np.zeros((60, 80), bool)
    guess[20:40, 20:40] = True
    cut = SuperpixelCut()(flat, guess, (18, 18, 42, 42))
    assert not cut[:15].any() and not cut[:, 45:].any()


def test_it_gives_the_same_whatever_ran_before_and_changes_nothing_that_it_is_given():
    image, truth, guess = disc(noise=60)
    before = image.copy(), guess.copy()
    first = SuperpixelCut()(image, guess, (34, 19, 86, 71))
    cv2.setRNGSeed(7)
    np.testing.assert_array_equal(SuperpixelCut()(image, guess, (34, 19, 86, 71)), first)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(guess, before[1])


def test_a_cut_that_does_not_move_boxes_gives_the_same_masks():
    image, _, guess = disc()
    box = torch.tensor([[36.0, 21, 84, 69]])
    (moved, first), (kept, second) = (SuperpixelCut(moves_boxes=moves).boxes_and_masks(image, guess[None], box) for moves in (1, 0))
    assert torch.equal(kept, box) and not torch.equal(moved, box)
    np.testing.assert_array_equal(first, second)
    halfway, third = SuperpixelCut(moves_boxes=0.5).boxes_and_masks(image, guess[None], box)
    torch.testing.assert_close(halfway, (moved + kept) / 2)
    np.testing.assert_array_equal(first, third)


def test_several_objects_are_cut_as_each_alone():
    image, truth, guess = disc()
    guesses, boxes = (
        np.stack([guess, truth, np.zeros_like(guess)]),
        torch.tensor([[34.0, 19, 86, 71], [30, 15, 90, 75], [0, 0, 120, 90]]),
    )
    bboxes, masks = SuperpixelCut().boxes_and_masks(image, guesses, boxes)
    for alike, box, tight, mask in zip(guesses, boxes, bboxes, masks, strict=True):
        alone = SuperpixelCut().boxes_and_masks(image, alike[None], box[None])
        assert torch.equal(alone[0][0], tight)
        np.testing.assert_array_equal(alone[1][0], mask)


@pytest.mark.parametrize(('moves_boxes', 'min_fill', 'expected'), [(1, 0.6, 1.0), (0, 0.6, 0.5), (0.5, 0.6, 0.75), (0.5, 0.0, None)])
def test_a_box_that_its_cut_does_not_fill_starts_from_the_initial_mask(moves_boxes, min_fill, expected):
    """The expected box lies between those of the initial mask (half the size of the object) and of the cut (the object)."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 250
    guess = np.zeros((1, 60, 80), bool)
    guess[0, 25:35, 35:45] = True
    whole = torch.tensor([[5.0, 5, 75, 55]])
    boxes, masks = SuperpixelCut(moves_boxes=moves_boxes, min_fill=min_fill).boxes_and_masks(image, guess, whole)
    assert np.array_equal(masks[0], image[..., 0] > 0)
    if expected is None:
        assert torch.equal(boxes, (whole + torch.tensor([[30.0, 20, 50, 40]])) / 2)
    else:
        half = 10 * expected
        assert boxes.tolist() == [[40 - half, 30 - half, 40 + half, 30 + half]]


@pytest.mark.parametrize('side', [17, 18, 19, 20])
def test_a_box_far_larger_than_its_cut_is_replaced_too(side):
    image = np.random.default_rng(0).integers(80, 90, (100, 100, 3)).astype(np.uint8)
    image[40 : 40 + side, 40 : 40 + side] = 220
    guess = image[None, ..., 0] == 220
    boxes, masks = SuperpixelCut(min_fill=0.6, size=1).boxes_and_masks(image, guess, torch.tensor([[20.0, 20, 80, 80]]))
    assert boxes.tolist() == [[40, 40, 40 + side, 40 + side]] and np.array_equal(masks, guess)


def test_colours_are_sampled_without_regard_to_columns():
    image = np.full((225, 300, 3), 200, np.uint8)
    image[:, ::20] = 0
    mask = np.zeros((225, 300), bool)
    mask[100:125] = True
    parts = superpixels(image.tobytes(), mask.shape, mask.shape, 4)
    assert np.abs(parts.log_odds(mask)).max() < 20  # inside and outside have the same colours


@pytest.mark.parametrize('seed', range(8))
def test_the_cut_has_the_least_energy_of_all(seed):
    """Against all assignments of six superpixels, with integer energies, which the graph represents exactly."""
    random = np.random.default_rng(seed)
    many, background = 6, np.arange(6) == seed % 6
    evidence, weights = random.integers(-9, 10, many) * 1.0, np.triu(random.integers(0, 5, (many, many)), 1) * 1.0
    parts = Superpixels(None, np.arange(6)[None], None, None, coo_matrix(weights))

    def energy(chosen: np.ndarray) -> float:
        return -evidence[chosen].sum() + 2 * (weights * (chosen[:, None] != chosen)).sum()

    allowed = [chosen for chosen in map(np.array, product((False, True), repeat=many)) if not (chosen & background).any()]
    found = parts.minimum_cut(evidence, background, 2.0)
    assert not (found & background).any()
    assert energy(found) == min(map(energy, allowed))


def test_contrast_is_summed_over_all_neighbours_on_a_border():
    random = np.random.default_rng(0)
    image, labels = random.integers(0, 256, (4, 5, 3)), np.array([[0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 1, 1]] * 2)
    pairs = [
        ((y, x), (y + down, x + right))
        for y, x in product(range(4), range(5))
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
        if y + down < 4 and 0 <= x + right < 5
    ]
    squares = [((image[i] - image[j]) ** 2).sum() for i, j in pairs]
    expected = np.zeros((3, 3))
    for (i, j), square in zip(pairs, squares, strict=True):
        low, high = sorted((labels[i], labels[j]))
        expected[low, high] += (low != high) * np.exp(-square / (2 * np.mean(squares))) / np.hypot(i[0] - j[0], i[1] - j[1])
    np.testing.assert_allclose(contrast(image.astype(np.uint8), labels, 3).toarray(), expected, rtol=1e-5)


def test_a_mixture_of_five_colours_is_recovered():
    random = np.random.default_rng(0)
    centres = np.array([[30, 30, 30], [220, 40, 40], [40, 220, 40], [40, 40, 220], [220, 220, 220]])
    pixels = (centres.repeat(500, 0) + random.normal(0, 6, (2500, 3))).round().clip(0, 255).astype(np.uint8)
    colours = centres[:, None].repeat(20, 1).reshape(-1, 3) + random.normal(0, 6, (100, 3))
    density = np.mean([multivariate_normal(centre, 37 * np.eye(3)).pdf(colours) for centre in centres], 0)
    found = log_density(pixels[random.permutation(2500)], products(colours)) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, np.log(density), atol=0.5)


def test_superpixels_cover_the_image_without_gaps_and_know_its_colours():
    image, truth, _ = disc(noise=20)
    parts = superpixels(image.tobytes(), truth.shape, truth.shape, 4)
    sizes = np.bincount(parts.labels.ravel())
    assert sizes.min() > 0 and 8 < sizes.mean() < 25
    assert np.array_equal(parts.counts.sum(1).A1, sizes) and parts.counts.sum() == truth.size
    np.testing.assert_allclose((parts.counts @ parts.colours)[:, 1:4].sum(0), image.reshape(-1, 3).sum(0))
    np.testing.assert_allclose(parts.mean(truth), [truth[parts.labels == each].mean() for each in range(len(sizes))])


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (3, 5), (9, 9), (12, 400)])
@pytest.mark.parametrize('size', [1, 4, 50])
def test_images_smaller_than_a_few_superpixels_are_cut_too(shape, size):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    guess = np.random.default_rng(1).random((1, *shape)) > 0.5
    boxes, masks = SuperpixelCut(size=size).boxes_and_masks(image, guess, torch.tensor([[0.0, 0, *shape[::-1]]]))
    assert masks.shape == guess.shape and boxes.isfinite().all()


def test_without_contributed_modules_cuts_use_pixels_and_say_so(monkeypatch):
    image, truth, guess = disc()
    said = []
    monkeypatch.delattr(cv2, 'ximgproc')
    monkeypatch.setattr('mmlabelpenet.workbench.variants.superpixels.warn_once', said.append)
    superpixels.cache_clear()
    cut = SuperpixelCut()(image, guess, (34, 19, 86, 71))
    superpixels.cache_clear()
    assert iou(cut, truth) > 0.95
    assert ['install only opencv-contrib-python-headless' in message for message in said] == [True]


def two_halves() -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """An object of two colours on a background of a third; the initial mask covers one of them."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:40], image[20:40, 40:50] = (250, 0, 0), (0, 250, 0)
    return image, image[None, ..., 0] > 0, torch.tensor([[27.0, 17, 53, 43]])


@pytest.mark.parametrize('prior', [0.0, 100.0])
def test_a_prior_adds_what_colours_do_not_say(prior):
    """Colours alone know only the half in which they start; a soft mask knows both."""
    image, start, bbox = two_halves()
    soft = np.where(image.any(-1), 0.9, 0.1)[None]
    _, masks = SuperpixelCut(prior=prior, size=1).boxes_and_masks(image, start, bbox, soft=soft)
    assert np.array_equal(masks[0], image.any(-1) if prior else start[0])
    _, colours = SuperpixelCut(prior=prior, size=1).boxes_and_masks(image, start, bbox)
    assert np.array_equal(colours, start)


def test_the_prior_is_lambda_times_the_log_odds_of_each_pixel():
    """With one colour everywhere, the prior decides alone: pixels above 0.5 are the object, however small lambda is."""
    image, soft = np.full((20, 30, 3), 90, np.uint8), np.full((1, 20, 30), 0.4, np.float32)
    soft[0, 5:15, 10:20] = 0.6
    _, masks = SuperpixelCut(prior=0.1, smoothness=0.0, size=1).boxes_and_masks(
        image, soft > 0.5, torch.tensor([[0.0, 0, 30, 20]]), soft=soft
    )
    assert np.array_equal(masks, soft > 0.5)


@pytest.mark.parametrize('value', [0.0, 1.0, float('nan')])
def test_a_certain_soft_mask_can_still_be_overruled(value):
    image, truth, guess = disc()
    _, masks = SuperpixelCut(prior=0.001).boxes_and_masks(
        image, guess[None], torch.tensor([[34.0, 19, 86, 71]]), soft=np.full_like(image[None, ..., 0], value, np.float32)
    )
    assert iou(masks[0], truth) > 0.9


def test_boxes_from_a_second_cut_that_starts_from_the_box():
    """The first cut has one half of the object, which gives the mask; the second has all of it, which gives the box."""
    image, start, bbox = two_halves()
    boxes, masks = SuperpixelCut(moves_boxes=1, from_box=True, size=1).boxes_and_masks(image, start, bbox)
    assert boxes.tolist() == [[30, 20, 50, 40]] and np.array_equal(masks, start)
    boxes, same = SuperpixelCut(moves_boxes=1, size=1).boxes_and_masks(image, start, bbox)
    assert boxes.tolist() == [[30, 20, 40, 40]] and np.array_equal(masks, same)


def test_a_second_cut_that_fails_leaves_the_box():
    image, start, _ = two_halves()
    elsewhere = torch.tensor([[60.0, 45, 75, 58]])  # of one colour
    boxes, _ = SuperpixelCut(from_box=True, size=1).boxes_and_masks(image, start, elsewhere)
    assert torch.equal(boxes, elsewhere)

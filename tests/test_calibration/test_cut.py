"""Successive refinement by colour, and refined labels."""

import numpy as np
import pytest
import torch
from discs import disc, iou

from mmlabelpenet.calibration.cut import build_cuts, cut_out
from mmlabelpenet.calibration.generators import Explanation, ProposalCalibration
from mmlabelpenet.workbench.variants.colour_cut import ColourCut
from mmlabelpenet.workbench.variants.grab_cut import GrabCut


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

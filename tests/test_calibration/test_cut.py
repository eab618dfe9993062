"""Labels refined by colour."""

import numpy as np
import pytest
import torch
from discs import disc, iou

from mmlabelpenet.calibration.generators import Explanation, ProposalCalibration

CUT = dict(type='SuperpixelCut', moves_boxes=1)


def told(maps, proposals):
    labels, weights = np.arange(len(maps)), np.ones(len(maps), np.float32)
    return Explanation(np.asarray(maps, np.float32), np.asarray(proposals, np.float32), labels, weights, labels)


@pytest.mark.parametrize('box', ['mask', 'proposal'])
def test_labels_are_cut_and_their_boxes_are_tight_around_the_cut(box):
    image, truth, guess = disc()
    found = told([guess], [(36, 21, 84, 69)])
    (plain,), (cut,) = (
        ProposalCalibration(box=box, cut=cut).label(image, found).masks.masks.astype(bool) for cut in (None, dict(CUT, margin=0.6))
    )
    assert iou(cut, truth) > 0.95 > 0.5 > iou(plain, truth)
    pseudo = ProposalCalibration(box=box, cut=dict(CUT, margin=0.6)).label(image, found)
    rows, columns = truth.any(1).nonzero()[0], truth.any(0).nonzero()[0]
    expected = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    assert (pseudo.bboxes[0] - expected).abs().max() <= 1


def test_an_object_without_any_mask_gets_one_from_its_box():
    image, truth, guess = disc()
    found = told([np.zeros_like(guess)], [(30, 15, 90, 75)])
    pseudo = ProposalCalibration(box='proposal', cut=CUT).label(image, found)
    assert iou(pseudo.masks.masks[0].astype(bool), truth) > 0.95


def test_where_the_cut_finds_nothing_box_and_mask_stay():
    image = np.full((40, 60, 3), 90, np.uint8)
    guess = np.zeros((40, 60), bool)
    guess[10, 10:13] = True  # too few pixels for a mixture: they are the cut
    pseudo = ProposalCalibration(box='proposal', cut=CUT).label(image, told([guess], [(5, 5, 50, 35)]))
    assert pseudo.bboxes[0].tolist() == [5, 5, 50, 35]
    np.testing.assert_array_equal(pseudo.masks.masks[0].astype(bool), guess)


def test_neighbours_do_not_take_each_others_pixels():
    image, truth, guess = disc()
    left, right = guess.copy(), np.zeros_like(guess)
    left[:, 60:] = False
    right[30:60, 58:80] = True
    image[right] = (30, 30, 220)
    pseudo = ProposalCalibration(cut=dict(CUT, margin=0.5)).label(image, told([left & ~right, right], [(36, 21, 60, 69), (58, 30, 80, 60)]))
    first, second = pseudo.masks.masks.astype(bool)
    assert iou(second, right) > 0.95 and iou(first, truth & ~right) > 0.8 and not (first & right).any()


@pytest.mark.parametrize(
    ('settings', 'proposal'), [(dict(box='proposal'), (10, 10, 50, 50)), (dict(box='mask', min_iou=0.5), (0, 0, 20, 9))]
)
def test_pixels_outside_a_neighbours_box_or_of_a_rejected_mask_are_free(settings, proposal):
    image = np.full((60, 120, 3), 40, np.uint8) + np.random.default_rng(0).integers(0, 9, (60, 120, 3), np.uint8)
    image[20:40, 60:100] = 200
    maps = np.zeros((2, 60, 120))
    maps[0, 10:50, 10:75], maps[1, 20:40, 75:100] = 0.9, 0.9  # the first reaches into the second object
    second, generator = (60, 20, 100, 40), ProposalCalibration(cut=CUT, **settings)
    both, alone = generator.label(image, told(maps, [proposal, second])), generator.label(image, told(maps[1:], [second]))
    assert alone.masks.masks.sum() >= 500
    np.testing.assert_array_equal(both.masks.masks[1], alone.masks.masks[0])
    assert torch.equal(both.bboxes[1], alone.bboxes[0])

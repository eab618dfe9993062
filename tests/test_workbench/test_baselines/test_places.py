"""Boxes and masks of the trivial baselines."""

import numpy as np
import pytest
import torch

from mmlabelpenet.calibration.crf import DenseCRF
from mmlabelpenet.workbench.baselines.places import activation_masks, box_masks, chosen_boxes, mask_boxes

BOXES = torch.tensor([[0.0, 0, 40, 30], [2, 3, 30, 28], [0, 0, 10, 10], [5, 5, 9, 30]])


def test_the_largest_proposal_is_not_the_whole_image():
    assert chosen_boxes('largest', BOXES, (30, 40), 2).tolist() == [BOXES[1].tolist()] * 2
    assert chosen_boxes('whole', BOXES, (30, 40), 2).tolist() == [[0, 0, 40, 30]] * 2


@pytest.mark.parametrize('method', ['largest', 'random'])
def test_without_any_other_proposal_the_whole_image_is_taken(method):
    for proposals in (BOXES[:0], BOXES[:1]):
        assert chosen_boxes(method, proposals, (30, 40), 1).tolist() == [[0, 0, 40, 30]]


def test_random_proposals_depend_on_image_and_seed_alone_and_reach_all():
    first = chosen_boxes('random', BOXES, (30, 40), 50, 'a', 1)
    assert torch.equal(first, chosen_boxes('random', BOXES, (30, 40), 50, 'a', 1))
    assert not torch.equal(first, chosen_boxes('random', BOXES, (30, 40), 50, 'b', 1))
    assert not torch.equal(first, chosen_boxes('random', BOXES, (30, 40), 50, 'a', 2))
    assert len(torch.unique(first, dim=0)) == 4


def test_another_method_is_refused():
    with pytest.raises(ValueError, match="got 'best'"):
        chosen_boxes('best', BOXES, (30, 40), 1)


def test_box_and_mask_lead_to_each_other():
    masks = box_masks(BOXES, (30, 40))
    assert [int(mask.sum()) for mask in masks] == [1200, 700, 100, 100]
    assert torch.equal(mask_boxes(masks), BOXES)
    assert mask_boxes(np.zeros((0, 30, 40), bool)).shape == (0, 4)


@pytest.mark.parametrize('threshold', [0.1, 0.4])
def test_pixels_from_the_share_of_the_maximum_on_belong_to_the_object(threshold):
    ramp = torch.linspace(-1, 2, 31).expand(2, 8, 31)
    masks = activation_masks(np.zeros((8, 31, 3), np.uint8), ramp, threshold, [None, None])
    expected = ramp[0].numpy() / 2 >= threshold
    wrong = (masks[0] != expected) & (abs(ramp[0].numpy() / 2 - threshold) > 1e-4)
    assert not wrong.any() and np.array_equal(masks[0], masks[1])


def test_of_two_components_the_larger_stays():
    activation = torch.zeros(1, 20, 20)
    activation[0, 2:5, 2:5], activation[0, 8:18, 8:18] = 1.0, 0.9
    masks = activation_masks(np.zeros((20, 20, 3), np.uint8), activation, 0.5, [None])
    assert mask_boxes(masks).tolist() == [[8, 8, 18, 18]] and not masks[0, :6, :6].any()


def test_the_crf_moves_the_mask_to_the_edge_of_the_image():
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, 16:] = 255
    activation = torch.linspace(0, 1, 32).expand(2, 24, 32)
    plain, moved = activation_masks(image, activation, 0.4, [None, DenseCRF(bilateral_xy=20)])
    assert plain[0].argmax() == 13 and np.array_equal(moved, image[..., 0] > 0)


def test_a_map_without_positive_activation_shows_nothing():
    masks = activation_masks(np.zeros((4, 6, 3), np.uint8), -torch.ones(1, 2, 3), 0.2, [None])
    assert not masks.any() and mask_boxes(masks).tolist() == [[0, 0, 6, 4]]


@pytest.mark.parametrize('threshold', [0.0, 1.0])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(ValueError, match='fraction of the maximum'):
        activation_masks(np.zeros((4, 6, 3), np.uint8), torch.ones(1, 2, 3), threshold, [None])

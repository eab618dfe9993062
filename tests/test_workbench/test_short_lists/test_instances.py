"""Instance masks from class masks and boxes."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.short_lists.instances import assign_pieces, instances_of

DATA = Path(os.environ.get('MMLABELPENET_MINI', 'data/VOCdevkit/VOC2012mini'))


def mask_of(*boxes, size=(40, 60)):
    mask = np.zeros(size, bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def owners(found, *boxes):
    """The box that each rectangle was given to."""
    values = [np.unique(found[y1:y2, x1:x2]).tolist() for x1, y1, x2, y2 in boxes]
    assert all(len(value) == 1 for value in values)
    return [value[0] for value in values]


def test_of_a_single_box_is_all_that_has_its_class():
    mask = mask_of((1, 1, 9, 9), (40, 20, 50, 30))
    assert np.array_equal(assign_pieces(mask, [(0, 0, 10, 10)]), mask)


def test_pieces_go_to_the_boxes_that_hold_them():
    pieces = ((2, 2, 12, 12), (30, 5, 45, 25))
    assert owners(assign_pieces(mask_of(*pieces), [(29, 4, 46, 26), (1, 1, 13, 13)]), *pieces) == [2, 1]


def test_a_piece_in_two_boxes_goes_where_it_completes_one():
    pieces = ((10, 10, 30, 20), (10, 22, 30, 36), (40, 10, 50, 30))
    boxes = [(9, 9, 31, 37), (9, 9, 51, 21)]  # the piece on the left above belongs to what is below it or to what is beside it
    assert owners(assign_pieces(mask_of(*pieces), boxes), *pieces)[1:] == [1, 2]
    fits = {owner: assign_pieces(mask_of(*pieces), [boxes[0], box]) for owner, box in ((1, (39, 9, 51, 31)), (2, (9, 9, 51, 31)))}
    assert {owner: owners(found, *pieces)[0] for owner, found in fits.items()} == {1: 1, 2: 2}


def test_pieces_are_swapped_where_both_boxes_then_fit_better():
    pieces = ((5, 5, 20, 20), (25, 5, 40, 20))
    boxes = [(4, 4, 41, 21), (24, 4, 41, 21)]
    found = assign_pieces(mask_of(*pieces), boxes)
    assert owners(found, *pieces) == [1, 2]


def test_objects_that_touch_are_parted_by_the_nearest_box():
    found = assign_pieces(mask_of((5, 5, 45, 25)), [(5, 5, 25, 25), (25, 5, 45, 25)])
    assert owners(found, (5, 5, 26, 25), (26, 5, 45, 25)) == [1, 2]


def test_small_pieces_follow_what_lies_beside_them():
    pieces = ((5, 5, 20, 20), (30, 5, 45, 20), (21, 10, 23, 12))
    boxes = [(5, 5, 24, 20), (22, 5, 45, 20)]
    assert owners(assign_pieces(mask_of(*pieces), boxes), *pieces) == [1, 2, 1]


def test_only_small_pieces_go_to_the_boxes_that_hold_them():
    pieces = ((5, 5, 8, 8), (40, 5, 43, 8))
    assert owners(assign_pieces(mask_of(*pieces), [(39, 4, 44, 9), (4, 4, 9, 9)]), *pieces) == [2, 1]


def test_numbers_are_those_of_the_annotated_objects_and_pieces_without_a_box_follow():
    classes = np.zeros((40, 60), np.uint8)
    classes[5:15, 5:15], classes[5:15, 30:40], classes[25:37, 5:17], classes[25:28, 50:53] = 2, 2, 7, 7
    classes[4, 4:16] = 255
    bboxes = np.array([[0, 0, 3, 3], [30, 5, 40, 15], [5, 5, 15, 15]], np.float32)
    found = instances_of(classes, bboxes, np.array([4, 1, 1]))
    assert [found[8, 8], found[8, 35], found[30, 10], found[26, 51], found[4, 5], found[0, 0]] == [3, 2, 4, 0, 255, 0]


@pytest.mark.skipif(not (DATA / 'SegmentationObject').is_dir(), reason='the short lists are not there')
def test_masks_of_the_short_lists_are_derived_bit_for_bit():
    devkit = VOCDevkit(DATA, VOC_CLASSES)
    for image_id in devkit.image_ids('mini_test'):
        objects, classes = devkit.objects(image_id), devkit.class_mask(image_id)
        written = np.asarray(Image.open(DATA / f'SegmentationObject/{image_id}.png'))
        assert np.array_equal(instances_of(classes, objects.bboxes, objects.labels), written), image_id

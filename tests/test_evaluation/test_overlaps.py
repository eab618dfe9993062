import numpy as np
import pytest
import slow_references as slow
from random_images import SIZE, flat, masks_of, random_boxes, random_dataset

from mmlabelpenet.evaluation.functional import best_in_matrix, best_overlaps, box_iou, encode_masks, mask_iou


@pytest.mark.parametrize('extra', [0.0, 1.0])
def test_box_iou_equals_areas_by_hand(extra):
    rng = np.random.default_rng(0)
    for _ in range(100):
        first, second = (random_boxes(rng, count) + rng.random((count, 4)).astype(np.float32) for count in (6, 5))
        expected = [[slow.box_iou(a, b, extra) for b in second.tolist()] for a in first.tolist()]
        np.testing.assert_allclose(box_iou(first, second, legacy=bool(extra)), expected, atol=1e-12)


def test_half_open_boxes_have_the_devkits_iou_of_inclusive_ones():
    inclusive = random_boxes(np.random.default_rng(1), 20)
    half_open = inclusive + np.array([0, 0, 1, 1])
    np.testing.assert_allclose(box_iou(half_open, half_open), box_iou(inclusive, inclusive, legacy=True), atol=1e-12)


def test_boxes_thinner_than_a_pixel_have_the_area_that_they_have():
    thin = np.array([[1, 2, 1.5, 2.25], [1, 2, 1.25, 2.25], [1, 2, 1.5, 12]], dtype=np.float32)
    assert box_iou(thin, thin).tolist() == [[1, 0.5, 0.025], [0.5, 1, 0.0125], [0.025, 0.0125, 1]]
    assert box_iou(thin[:1], np.array([[0, 0, 4, 4]])).tolist() == [[0.0078125]]


def test_boxes_without_area_overlap_nothing():
    empty = np.array([[3, 3, 3, 3], [5, 5, 2, 2]], dtype=np.float32)
    assert not box_iou(empty, np.concatenate([empty, [[0, 0, 9, 9]]])).any()


def test_mask_iou_equals_counted_pixels_and_is_zero_for_empty_masks():
    rng = np.random.default_rng(2)
    empty = 0
    for _ in range(200):
        first, second = masks_of(rng, random_boxes(rng, 4)), masks_of(rng, random_boxes(rng, 3))
        expected = [[slow.pixel_iou(a, b) for b in second] for a in first]
        np.testing.assert_allclose(mask_iou(encode_masks(first), encode_masks(second)), expected, atol=1e-12)
        empty += sum(not mask.any() for mask in first)
    assert empty > 50


def test_masks_of_two_sizes_are_refused_even_where_they_do_not_meet():
    small, large = np.zeros((1, 2, 2), bool), np.zeros((1, 3, 3), bool)
    with pytest.raises(ValueError, match=r'the same size .* \[\(2, 2\), \(3, 3\)\]'):
        mask_iou(encode_masks(small), encode_masks(large))


def test_masks_need_three_axes():
    with pytest.raises(ValueError, match=r'shape \(n, h, w\) .*, got \(2, 2\)'):
        encode_masks(np.zeros((2, 2), bool))


def test_no_masks_give_an_empty_matrix():
    assert mask_iou([], encode_masks(np.ones((2, *SIZE), bool))).shape == (0, 2)
    assert encode_masks(np.zeros((0, *SIZE), bool)) == []


def test_best_overlaps_of_a_data_set_are_those_of_its_images():
    for seed in range(200):
        images = random_dataset(seed)
        data = flat(images)
        best = best_overlaps(
            data['images'], data['labels'], data['bboxes'], data['gt_images'], data['gt_labels'], data['gt_bboxes'], num_classes=3
        )
        offset, iou, index = 0, [], []
        for image in images:
            one = best_in_matrix(box_iou(image['bboxes'], image['gt_bboxes']), image['labels'], image['gt_labels'])
            iou.extend(one.iou)
            index.extend(np.where(one.index < 0, -1, one.index + offset))
            offset += len(image['gt_labels'])
        np.testing.assert_array_equal(best.iou, iou)
        np.testing.assert_array_equal(best.index, index)

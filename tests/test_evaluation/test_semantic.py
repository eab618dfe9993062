import numpy as np
import pytest
import slow_references as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from random_images import SIZE, random_dataset

from mmlabelpenet.evaluation.functional import class_ious, confusion_matrix, paint, semantic_map
from mmlabelpenet.evaluation.semantic import confusion

CLASSES = 3


@given(seed=st.integers(0, 2**32 - 1), thr=st.sampled_from([0.0, 0.3, 0.5]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_class_map_and_class_ious_equal_going_through_pixels(seed, thr):
    images = random_dataset(seed, max_images=2)
    maps = [semantic_map(image['masks'], image['scores'], image['labels'], SIZE, thr) for image in images]
    expected = [slow.class_map(image, SIZE, thr) for image in images]
    np.testing.assert_array_equal(np.stack(maps), expected)
    truths = [np.where(image['class_mask'] == 1 + seed % 3, 0, image['class_mask']).astype(np.uint8) for image in images]
    total = sum(confusion_matrix(one, truth, CLASSES) for one, truth in zip(maps, truths, strict=True))
    values = [slow.class_iou(expected, truths, value) for value in range(CLASSES + 1)]
    np.testing.assert_allclose(class_ious(total), values, atol=1e-9)


def test_class_that_the_truth_never_shows_is_not_measured():
    ious = class_ious(confusion_matrix(np.array([[0, 2]]), np.array([[0, 0]]), 2))
    np.testing.assert_array_equal(ious, [0.5, np.nan, np.nan])


def test_void_pixels_are_neither_right_nor_wrong():
    predicted, truth = np.array([[1, 1, 0]]), np.array([[1, 255, 255]])
    np.testing.assert_array_equal(class_ious(confusion_matrix(predicted, truth, 1)), [np.nan, 1.0])


def test_score_at_the_threshold_is_painted():
    masks = np.ones((1, 1, 1), bool)
    assert semantic_map(masks, np.array([0.3]), np.array([1]), (1, 1), 0.3).item() == 2
    assert semantic_map(masks, np.array([0.29]), np.array([1]), (1, 1), 0.3).item() == 0


def test_no_instance_gives_background():
    assert not semantic_map(np.zeros((0, 4, 5), bool), np.zeros(0), np.zeros(0, int), (4, 5)).any()


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r'size \(2, 3\) of their image, got \(3, 2\)'):
        semantic_map(np.ones((1, 3, 2), bool), np.ones(1), np.zeros(1, int), (2, 3))


def test_maps_of_two_sizes_and_values_beyond_the_classes_are_refused():
    with pytest.raises(ValueError, match='the same size'):
        confusion_matrix(np.zeros((2, 2)), np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match='got 2'):
        confusion_matrix(np.array([[2]]), np.array([[0]]), 1)


def test_only_painted_masks_are_asked_for_and_each_once():
    asked = []

    def mask_of(index):
        asked.append(index)
        return np.ones((1, 2), bool)

    paint(mask_of, np.array([0.9, 0.1, 0.5]), np.array([0, 1, 2]), (1, 2), 0.3)
    assert asked == [2, 0]


@pytest.mark.parametrize('label', [253, 254, 255, 299])
def test_maps_of_more_than_254_classes_have_another_void(label):
    found = semantic_map(np.ones((1, 1, 2), bool), np.ones(1), np.array([label]), (1, 2))
    assert found.tolist() == [[label + 1] * 2]
    table = confusion_matrix(found, np.array([[label + 1, 65535]]), 300)
    assert table.sum() == table[label + 1, label + 1] == 1


def test_an_image_that_is_void_alone_counts_nothing():
    pairs, counts = confusion(np.zeros((2, 3), np.uint8), np.full((2, 3), 255, np.uint8), num_classes=1)
    assert pairs.tolist() == counts.tolist() == []

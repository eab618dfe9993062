import numpy as np
import pytest
import slow_references as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from random_images import flat, random_dataset

from mmlabelpenet.evaluation.functional import (
    best_overlaps,
    best_per_object,
    box_iou,
    corloc_counts,
    mean_per_class,
    proposal_quality,
    shares,
)

CLASSES = 3


@pytest.mark.parametrize('skip', [False, True])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_corloc_equals_looking_at_one_image_after_the_other(skip, seed):
    images = random_dataset(seed)
    data = flat(images)
    objects = data['gt_images'], data['gt_labels']
    best = best_overlaps(data['images'], data['labels'], data['bboxes'], *objects, data['gt_bboxes'], num_classes=CLASSES)
    correct, shown = corloc_counts(
        data['images'], data['labels'], data['scores'], best.iou, *objects, data['gt_difficult'], CLASSES, 0.5, skip
    )
    expected = [slow.corloc(images, label, 0.5, skip) for label in range(CLASSES)]
    np.testing.assert_allclose(shares(correct, shown), expected, atol=1e-12)


def located(difficult, scores=(0.9,), boxes=((0, 0, 10, 10),), skip=False):
    """One image with objects at (0, 0, 10, 10), (100, 0, 110, 10), ... of one class."""
    objects = np.array([[100 * k, 0, 100 * k + 10, 10] for k in range(len(difficult))], dtype=float)
    zeros, targets = np.zeros(len(scores), int), np.zeros(len(difficult), int)
    best = best_overlaps(zeros, zeros, np.array(boxes, float).reshape(-1, 4), targets, targets, objects, num_classes=1)
    correct, shown = corloc_counts(zeros, zeros, np.array(scores), best.iou, targets, targets, np.array(difficult), 1, 0.5, skip)
    return correct[0], shown[0]


def test_difficult_objects_count_as_objects_in_both_conventions():
    assert located([True, False]) == (1, 1)
    assert located([True, False], skip=True) == (1, 1)


def test_image_with_difficult_objects_only_is_left_out_in_one_convention():
    assert located([True]) == (1, 1)
    assert located([True], skip=True) == (0, 0)


def test_only_the_highest_scored_box_counts_for_corloc():
    boxes = [(50, 50, 60, 60), (0, 0, 10, 10)]
    assert located([False], scores=(0.9, 0.8), boxes=boxes) == (0, 1)
    assert located([False], scores=(0.8, 0.9), boxes=boxes) == (1, 1)
    assert located([False], scores=(0.9, 0.9), boxes=boxes) == (0, 1)  # the first of equal scores


def test_image_without_predictions_is_not_located():
    assert located([False], scores=(), boxes=()) == (0, 1)


@pytest.mark.parametrize('aware', [True, False])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_average_best_overlap_equals_its_definition(aware, seed):
    images = random_dataset(seed)
    best, labels = best_of(images, aware)
    expected = [slow.average_best_overlap(images, label, 'bboxes', aware) for label in range(CLASSES)]
    np.testing.assert_allclose(mean_per_class(best, labels, CLASSES), expected, atol=1e-9)


def best_of(images, aware):
    best, labels = [], []
    for image in images:
        iou = box_iou(image['bboxes'], image['gt_bboxes'])
        best.append(best_per_object(iou, image['labels'], image['gt_labels']) if aware else best_per_object(iou))
        labels.append(image['gt_labels'])
    return np.concatenate(best), np.concatenate(labels)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_quality_of_proposals_equals_its_definition(seed):
    images = random_dataset(seed)
    quality = proposal_quality(*best_of(images, aware=False), num_classes=CLASSES, iou_thrs=(0.5, 0.7))
    best = [
        max((slow.overlap(image, 'bboxes', index, target) for index in range(len(image['labels']))), default=0.0)
        for image in images
        for target in range(len(image['gt_labels']))
    ]
    for thr, key in ((0.5, 'recall_50'), (0.7, 'recall_70')):
        np.testing.assert_allclose(quality[key], np.mean([value >= thr for value in best]) if best else np.nan, atol=1e-9)
    np.testing.assert_allclose(quality['average_best_overlap'], np.mean(best) if best else np.nan, atol=1e-9)
    means = [slow.average_best_overlap(images, label, 'bboxes', aware=False) for label in range(CLASSES)]
    known = [value for value in means if not np.isnan(value)]
    np.testing.assert_allclose(quality['mean_average_best_overlap'], np.mean(known) if known else np.nan, atol=1e-9)


def test_proposal_quality_of_known_overlaps():
    quality = proposal_quality(np.array([0.5, 0.6, 0.7, 1.0]), np.array([0, 0, 0, 2]), num_classes=3, iou_thrs=(0.5, 0.7))
    assert quality == pytest.approx({
        'recall_50': 1.0, 'recall_70': 0.5, 'average_best_overlap': 0.7, 'mean_average_best_overlap': (0.6 + 1.0) / 2,
    })  # fmt: skip


def test_proposals_without_objects_have_no_quality():
    assert all(np.isnan(value) for value in proposal_quality(np.zeros(0), np.zeros(0, int), num_classes=3).values())


def test_weighted_mean_of_a_class_without_weight_is_not_measured():
    result = mean_per_class(np.array([0.2, 0.8, 0.5]), np.array([0, 0, 1]), 2, np.array([1.0, 3.0, 0.0]))
    np.testing.assert_allclose(result, [0.65, np.nan])


def test_an_overlap_at_the_threshold_locates():
    one, zero = np.ones(1), np.zeros(1, int)
    for thr, correct in ((0.5, 1), (0.51, 0)):
        counted, _ = corloc_counts(zero, zero, one, 0.5 * one, zero, zero, np.zeros(1, bool), 1, thr)
        assert counted.tolist() == [correct]


def test_what_is_difficult_may_be_told_by_0_and_1():
    zeros = np.zeros(2, int)
    correct, shown = corloc_counts(
        zeros[:1], zeros[:1], np.ones(1), np.ones(1), np.array([0, 1]), zeros, np.array([1, 0]), num_classes=1, skip_difficult_only=True
    )
    assert (correct.tolist(), shown.tolist()) == ([0], [1])

import numpy as np
import pytest
import slow_references as slow
from random_images import random_dataset

from mmlabelpenet.evaluation.confusion import confusion
from mmlabelpenet.evaluation.scoring import Prediction, Truth

CLASSES = 3


def slow_confusion(image, score_thr, iou_thr):
    """One detection after the other, by its definition."""
    counts, free = np.zeros((CLASSES + 1, CLASSES + 1), int), list(range(len(image['gt_labels'])))
    for index in sorted(range(len(image['labels'])), key=lambda index: -image['scores'][index]):
        if image['scores'][index] < score_thr:
            continue
        best = max(free, key=lambda target: slow.overlap(image, 'bboxes', index, target), default=None)
        if best is None or slow.overlap(image, 'bboxes', index, best) < iou_thr:
            counts[CLASSES, image['labels'][index]] += 1
        else:
            counts[image['gt_labels'][best], image['labels'][index]] += 1
            free.remove(best)
    for target in free:
        counts[image['gt_labels'][target], CLASSES] += 1
    return counts


@pytest.mark.parametrize('thresholds', [(), (0.375, 0.25), (0.0, 0.75)])
def test_counts_equal_a_slow_loop_over_ranked_detections(thresholds):
    images = [image for seed in range(30) for image in random_dataset(seed, CLASSES)]
    for image in images:
        prediction = Prediction(image['bboxes'], image['scores'], image['labels'])
        truth = Truth(image['gt_bboxes'], image['gt_labels'], image['gt_difficult'])
        expected = slow_confusion(image, *(thresholds or (0.3, 0.5)))
        assert np.array_equal(confusion(prediction, truth, CLASSES, *thresholds), expected)


def test_a_score_and_an_overlap_at_their_thresholds_count():
    found = Prediction(np.array([[0.0, 0, 4, 2]]), np.array([0.25]), np.array([1]))
    there = Truth(np.array([[0.0, 0, 4, 4]]), np.array([0]), np.array([False]))
    assert confusion(found, there, 2, 0.25, 0.5).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert confusion(found, there, 2, 0.25, 0.51).tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert confusion(found, there, 2, 0.26, 0.5).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]

import math

import numpy as np
import slow_references as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from random_images import flat, random_dataset

from mmlabelpenet.evaluation.functional import best_overlaps, pseudo_label_quality

CLASSES = 3


def slow_quality(images, label):
    """Precision, weighted precision, recall, box and weighted box IoU of a class by looping over ranked instances."""
    verdicts, wanted = slow.voc_verdicts(images, label, 0.5, 'bboxes')
    rows = []
    for (image, index), verdict in zip(slow.ranked(images, label), verdicts, strict=True):
        if verdict is not None:
            best = max([slow.overlap(image, 'bboxes', index, target) for target in slow.members(image, label)], default=0.0)
            rows.append((float(image['scores'][index]), float(verdict), best))
    weight = sum(row[0] for row in rows)
    return {
        'precision': sum(row[1] for row in rows) / len(rows) if rows else math.nan,
        'precision_weighted': sum(row[0] * row[1] for row in rows) / weight if weight else math.nan,
        'recall': sum(row[1] for row in rows) / wanted if wanted else math.nan,
        'box_iou': sum(row[2] for row in rows) / len(rows) if rows else math.nan,
        'box_iou_weighted': sum(row[0] * row[2] for row in rows) / weight if weight else math.nan,
    }


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_quality_equals_looping_over_ranked_instances(seed):
    images = random_dataset(seed)
    data = flat(images)
    best = best_overlaps(
        data['images'], data['labels'], data['bboxes'], data['gt_images'], data['gt_labels'], data['gt_bboxes'], num_classes=CLASSES
    )
    quality = pseudo_label_quality(data['labels'], data['scores'], best, data['gt_labels'], data['gt_difficult'], CLASSES)
    for label in range(CLASSES):
        expected = slow_quality(images, label)
        assert set(quality) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(quality[name][label], value, atol=1e-9, err_msg=name)


def test_mask_overlaps_are_averaged_over_instances_that_have_a_mask():
    from mmlabelpenet.evaluation.functional import BestOverlap

    best = BestOverlap(np.array([0.9, 0.9, 0.4]), np.array([0, 1, 1]))
    masks = np.array([0.8, np.nan, 0.2])
    quality = pseudo_label_quality([0, 0, 0], [1.0, 1.0, 0.5], best, [0, 0], [False, False], 1, best_mask_iou=masks)
    np.testing.assert_allclose([quality['mask_iou'][0], quality['mask_iou_weighted'][0]], [0.5, (0.8 + 0.1) / 1.5])


def test_equal_weights_give_equal_weighted_and_plain_values():
    images = random_dataset(3)
    data = flat(images)
    best = best_overlaps(data['images'], data['labels'], data['bboxes'], data['gt_images'], data['gt_labels'], data['gt_bboxes'], CLASSES)
    weights = np.full(len(data['labels']), 0.25)
    quality = pseudo_label_quality(data['labels'], weights, best, data['gt_labels'], data['gt_difficult'], CLASSES)
    np.testing.assert_allclose(quality['precision'], quality['precision_weighted'])
    np.testing.assert_allclose(quality['box_iou'], quality['box_iou_weighted'])

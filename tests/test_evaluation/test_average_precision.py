import numpy as np
import pytest
import slow_references as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.evaluation.functional import eval_map
from random_images import crowd, flat, random_dataset

import mmlabelpenet  # noqa: F401  (mmdet's metrics import mmcv's ops, which it serves)
from mmlabelpenet.evaluation.functional import Detections, Objects, average_precision, average_precisions, box_average_precisions

CLASSES = 3
THRESHOLDS = (0.25, 0.5, 0.7)


def box_ap(images, num_classes=CLASSES, iou_thrs=THRESHOLDS, modes=('area', '11point'), legacy=False):
    data = flat(images)
    return box_average_precisions(
        Detections(data['images'], data['labels'], data['scores'], data['bboxes']),
        Objects(data['gt_images'], data['gt_labels'], data['gt_bboxes'], data['gt_difficult']),
        num_classes, iou_thrs, modes, legacy,
    )  # fmt: skip


@pytest.mark.parametrize('legacy', [False, True])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_box_ap_equals_the_devkits_loop_over_ranked_predictions(legacy, seed):
    equals_the_loop(random_dataset(seed), legacy)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_box_ap_equals_the_loop_in_a_crowd_of_predictions(seed):
    equals_the_loop(crowd(seed), legacy=False)


def equals_the_loop(images, legacy):
    result = box_ap(images, legacy=legacy)
    for label in range(CLASSES):
        for row, thr in enumerate(THRESHOLDS):
            verdicts, wanted = slow.voc_verdicts(images, label, thr, 'bboxes', extra=float(legacy))
            for mode in result:
                expected = slow.average_precision(verdicts, wanted, mode)
                np.testing.assert_allclose(result[mode][row, label], expected, atol=1e-9, rtol=0)


@given(verdicts=st.lists(st.sampled_from([True, False, None]), max_size=60), missed=st.integers(0, 30))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_each_mode_equals_its_definition_for_any_ranking(verdicts, missed):
    wanted = sum(verdict is True for verdict in verdicts) + missed
    kept = np.array([verdict for verdict in verdicts if verdict is not None], dtype=bool)
    for mode in ('area', '11point', 'coco101'):
        expected = slow.average_precision(verdicts, wanted, mode)
        np.testing.assert_allclose(average_precision(kept, wanted, mode), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize(('mode', 'mmdet_mode'), [('area', 'area'), ('11point', '11points')])
@pytest.mark.parametrize('legacy', [False, True])
def test_box_ap_equals_eval_map_of_mmdet(mode, mmdet_mode, legacy):
    rng = np.random.default_rng(5)
    for _ in range(5):
        images = [crowded_image(rng) for _ in range(6)]
        images += [emptied(crowded_image(rng), 'gt_'), emptied(crowded_image(rng), ''), emptied(emptied(crowded_image(rng), 'gt_'), '')]
        found = [[np.column_stack([i['bboxes'], i['scores']])[i['labels'] == c].astype(np.float32) for c in range(CLASSES)] for i in images]
        wanted = [
            {
                'bboxes': i['gt_bboxes'][~i['gt_difficult']], 'labels': i['gt_labels'][~i['gt_difficult']],
                'bboxes_ignore': i['gt_bboxes'][i['gt_difficult']], 'labels_ignore': i['gt_labels'][i['gt_difficult']],
            }
            for i in images
        ]  # fmt: skip
        for thr in THRESHOLDS:
            mean, rows = eval_map(found, wanted, iou_thr=thr, eval_mode=mmdet_mode, use_legacy_coordinate=legacy, logger='silent', nproc=1)
            result = box_ap(images, iou_thrs=(thr,), modes=(mode,), legacy=legacy)[mode][0]
            # mmdet keeps its values in float32
            np.testing.assert_allclose(result, [row['ap'] for row in rows], atol=2e-6)
            np.testing.assert_allclose(result.mean(), mean, atol=2e-6)


def test_a_class_without_objects_is_nan_where_eval_map_says_zero():
    image = crowded_image(np.random.default_rng(6))
    image['gt_labels'][:] = 1
    image['gt_difficult'][:] = False
    assert np.isnan(box_ap([image], iou_thrs=(0.5,))['area'][0, [0, 2]]).all()
    found = [[np.column_stack([image['bboxes'], image['scores']])[image['labels'] == c].astype(np.float32) for c in range(CLASSES)]]
    _, rows = eval_map(found, [{'bboxes': image['gt_bboxes'], 'labels': image['gt_labels']}], iou_thr=0.5, logger='silent', nproc=1)
    assert [row['ap'] for row in rows][::2] == [0, 0]


def emptied(image, prefix):
    """The image without predictions ('') or without objects ('gt_')."""
    names = [key for key in image if key.startswith('gt_') == bool(prefix)]
    return image | {key: image[key][:0] for key in names}


def crowded_image(rng):
    """Continuous boxes and distinct scores: mmdet's sort is not stable and its IoU is float32, so ties would not be comparable."""
    objects, count = rng.integers(2, 6), 40
    starts = rng.random((objects, 2)) * 60
    gt_bboxes = np.concatenate([starts, starts + 15 + rng.random((objects, 2)) * 30], axis=1)
    bboxes = gt_bboxes[rng.integers(objects, size=count)] + rng.normal(0, 4, (count, 4))
    return {
        'bboxes': bboxes.astype(np.float32), 'labels': rng.integers(0, CLASSES, count), 'scores': rng.random(count, dtype=np.float32),
        'gt_bboxes': gt_bboxes.astype('f4'), 'gt_labels': rng.integers(0, CLASSES, objects), 'gt_difficult': rng.random(objects) < 0.2,
    }  # fmt: skip


def single(scores, bboxes, difficult):
    """One image with one object at (0, 0, 10, 10) for each flag, shifted by 100 pixels."""
    count, objects = len(scores), len(difficult)
    gt_bboxes = np.array([[100 * k, 0, 100 * k + 10, 10] for k in range(objects)], dtype=np.float32).reshape(-1, 4)
    result = box_average_precisions(
        Detections(np.zeros(count, int), np.zeros(count, int), np.array(scores, float), np.array(bboxes, float).reshape(-1, 4)),
        Objects(np.zeros(objects, int), np.zeros(objects, int), gt_bboxes, np.array(difficult, bool)),
        num_classes=1,
    )  # fmt: skip
    return result['area'][0, 0]


def test_duplicate_is_wrong_and_lowers_ap_only_before_a_hit():
    hit, second = [0, 0, 10, 10], [100, 0, 110, 10]
    assert single([0.9, 0.8, 0.7], [hit, second, hit], [False, False]) == 1.0
    assert single([0.9, 0.8, 0.7], [hit, hit, second], [False, False]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_difficult_objects_may_be_told_by_0_and_1():
    boxes = np.array([[0, 0, 4, 4], [6, 0, 9, 4]])
    found = Detections([0, 0], [0, 0], [0.9, 0.8], boxes)
    for difficult in ([True, False], [1, 0]):
        assert box_average_precisions(found, Objects([0, 0], [0, 0], boxes, difficult), 1)['area'].tolist() == [[1.0]]
    assert box_average_precisions(found, Objects([0, 0], [0, 0], boxes, [1, 1]), 1)['area'].tolist() == [
        [pytest.approx(np.nan, nan_ok=True)]
    ]


def test_detection_of_a_difficult_object_is_neither_right_nor_wrong():
    hit, second = [0, 0, 10, 10], [100, 0, 110, 10]
    assert single([0.9, 0.8, 0.7], [second, second, hit], [False, True]) == 1.0


def test_class_with_difficult_objects_only_has_nothing_to_measure():
    assert np.isnan(single([0.9], [[0, 0, 10, 10]], [True]))


def test_iou_of_exactly_the_threshold_is_a_hit():
    assert single([0.9], [[0, 0, 10, 5]], [False]) == 1.0
    assert single([0.9], [[0, 0, 10, 4.999]], [False]) == 0.0


def test_no_predictions_at_all_give_zero_for_classes_with_objects():
    assert single([], [], [False]) == 0.0


@pytest.mark.parametrize(('found', 'there', 'expected'), [(0, 1, 0), (1, 0, np.nan), (0, 0, np.nan)])
def test_detections_and_objects_may_be_lists_that_are_empty(found, there, expected):
    box = np.array([[0, 0, 4, 4]])
    detections, objects = (
        Detections([0] * found, [0] * found, [0.5] * found, box[:found]),
        Objects([0] * there, [0] * there, box[:there], [0] * there),
    )
    np.testing.assert_equal(box_average_precisions(detections, objects, num_classes=1)['area'], [[expected]])


def test_only_the_best_overlapping_object_counts_for_voc():
    detections = Detections(np.zeros(2, int), np.zeros(2, int), np.array([0.9, 0.8]), np.array([[0, 0, 10, 10], [0, 0, 10, 10]]))
    objects = Objects(np.zeros(2, int), np.zeros(2, int), np.array([[0, 0, 10, 10], [0, 0, 10, 8]]), np.zeros(2, bool))
    assert box_average_precisions(detections, objects, 1)['area'][0, 0] == 0.5


def test_order_of_input_decides_between_equal_scores():
    right, ignored = np.array([[True, False]]), np.zeros((1, 2), bool)
    labels, scores = np.zeros(2, int), np.array([0.5, 0.5])
    assert average_precisions(labels, scores, right, ignored, np.array([1]))['area'][0, 0] == 1.0
    assert average_precisions(labels, scores, right[:, ::-1], ignored, np.array([1]))['area'][0, 0] == 0.5


def test_nan_score_is_refused_and_named():
    with pytest.raises(ValueError, match='NaN at detection 1'):
        single([0.5, np.nan], [[0, 0, 1, 1]] * 2, [False])


def test_label_beyond_the_classes_is_refused():
    objects = Objects(np.zeros(1, int), np.zeros(1, int), np.zeros((1, 4)), np.zeros(1, bool))
    with pytest.raises(ValueError, match='detections must be in 0..0, got 1..1'):
        box_average_precisions(Detections([0], [1], [0.5], [[0, 0, 1, 1]]), objects, 1)


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="got 'voc'"):
        average_precision(np.array([True]), 1, 'voc')


@pytest.mark.parametrize(('found', 'points'), [(2, 3), (3, 3), (4, 5), (5, 6), (6, 6), (7, 7), (8, 9), (10, 11)])
def test_eleven_points_are_the_floats_of_the_usual_loop(found, points):
    # 3 * 0.1, 6 * 0.1 and 7 * 0.1 lie above the recalls 3/10, 6/10 and 7/10.
    assert average_precision(np.ones(found, bool), 10, '11point') == pytest.approx(points / 11)

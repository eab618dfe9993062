import contextlib
import io

import numpy as np
import pytest
import slow_references as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_images import SIZE, crowd, random_dataset

from mmlabelpenet.evaluation.functional import (
    average_precisions,
    best_in_matrix,
    box_iou,
    encode_masks,
    mask_iou,
    match_coco,
    match_voc,
)
from mmlabelpenet.evaluation.overlaps import BestOverlap

CLASSES = 3
THRESHOLDS = (0.25, 0.5, 0.7, 0.75)


def mask_ap(images, iou_thrs, rule, modes, overlap=lambda image: mask_iou(encode_masks(image['masks']), encode_masks(image['gt_masks']))):
    right = []
    for image in images:
        iou, labels, objects = overlap(image), image['labels'], image['gt_labels']
        if rule == 'coco':
            right.append(match_coco(iou, labels, image['scores'], objects, iou_thrs))
        else:
            best, easy = best_in_matrix(iou, labels, objects), np.zeros(len(objects), bool)
            right.append(np.stack([match_voc(best, image['scores'], easy, thr).right for thr in iou_thrs]))
    hits = np.concatenate(right, axis=1)
    labels, scores = (np.concatenate([image[key] for image in images]) for key in ('labels', 'scores'))
    counts = sum(np.bincount(image['gt_labels'], minlength=CLASSES) for image in images)
    return average_precisions(labels, scores, hits, np.zeros_like(hits), counts, modes)


@pytest.mark.parametrize(('rule', 'modes'), [('voc', ('area', '11point')), ('coco', ('coco101',))])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_mask_ap_equals_counting_pixels_and_ranks_one_by_one(rule, modes, seed):
    equals_the_loop(random_dataset(seed), rule, modes)


@pytest.mark.parametrize(('rule', 'modes'), [('voc', ('area', '11point')), ('coco', ('coco101',))])
def test_mask_ap_equals_the_loop_in_a_crowd_of_predictions(rule, modes):
    for seed in range(15):
        equals_the_loop(crowd(seed), rule, modes)


def equals_the_loop(images, rule, modes):
    result = mask_ap(images, THRESHOLDS, rule, modes)
    for label in range(CLASSES):
        for row, thr in enumerate(THRESHOLDS):
            verdicts = slow.voc_verdicts if rule == 'voc' else slow.coco_verdicts
            found, wanted = verdicts(images, label, thr, 'masks')
            for mode in modes:
                np.testing.assert_allclose(result[mode][row, label], slow.average_precision(found, wanted, mode), atol=1e-9, rtol=0)


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
@pytest.mark.parametrize('seed', range(24))
def test_coco_style_ap_equals_pycocotools(kind, seed):
    images = crowd(seed) if seed % 4 == 3 else random_dataset(seed, with_ties=seed % 2 == 0, max_images=6)
    overlap = {'segm': {}, 'bbox': {'overlap': lambda image: box_iou(image['bboxes'], image['gt_bboxes'])}}[kind]
    result = mask_ap(images, THRESHOLDS, 'coco', ('coco101',), **overlap)['coco101']
    np.testing.assert_allclose(result, pycocotools_ap(images, kind), atol=1e-9, rtol=0)


def pycocotools_ap(images, kind):
    """AP per threshold and class by COCOeval, nan where it says -1."""
    annotations, results = [], []
    for index, image in enumerate(images, start=1):
        for box, label, mask in zip(image['gt_bboxes'].tolist(), image['gt_labels'].tolist(), image['gt_masks'], strict=True):
            left, top, right, bottom = box
            annotations.append({
                'id': len(annotations) + 1, 'image_id': index, 'category_id': label + 1, 'iscrowd': 0, 'area': 50,
                'bbox': [left, top, right - left, bottom - top], 'segmentation': encode_masks(mask[None])[0],
            })  # fmt: skip
        for box, label, score, mask in zip(
            image['bboxes'].tolist(), image['labels'].tolist(), image['scores'], image['masks'], strict=True
        ):
            left, top, right, bottom = box
            shape = {'segmentation': encode_masks(mask[None])[0]} if kind == 'segm' else {'bbox': [left, top, right - left, bottom - top]}
            results.append({'image_id': index, 'category_id': label + 1, 'score': float(score), **shape})
    if not results:
        pytest.skip('pycocotools cannot load an empty list of results')
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            'images': [{'id': k + 1, 'height': SIZE[0], 'width': SIZE[1]} for k in range(len(images))],
            'categories': [{'id': k + 1, 'name': str(k)} for k in range(CLASSES)],
            'annotations': annotations,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.iouThrs = np.array(THRESHOLDS)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
        evaluation.params.maxDets = [1000]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, 0]  # (T, 101, C)
    return np.where((precision > -1).all(axis=1), precision.mean(axis=1), np.nan)


def test_coco_takes_a_free_object_where_voc_sees_a_duplicate():
    iou, labels, scores = np.array([[0.9, 0.6], [0.8, 0.6]]), np.zeros(2, int), np.array([0.9, 0.8])
    voc = match_voc(best_in_matrix(iou, labels, labels), scores, np.zeros(2, bool), 0.5)
    assert voc.right.tolist() == [True, False]
    assert match_coco(iou, labels, scores, labels, [0.5]).tolist() == [[True, True]]


def test_predictions_without_objects_are_wrong_and_not_ignored():
    best = best_in_matrix(np.zeros((2, 0)), np.zeros(2, int), np.zeros(0, int))
    matches = match_voc(best, np.array([0.5, 0.6]), np.zeros(0, bool), 0.5)
    assert not matches.right.any()
    assert not matches.ignored.any()


def test_an_overlap_in_single_precision_is_compared_in_double():
    iou, zeros = np.array([[0.7]], np.float32), np.zeros(1, int)  # a little less than 0.7
    assert not match_coco(iou, zeros, np.ones(1), zeros, [0.7]).any()
    assert not match_voc(best_in_matrix(iou, zeros, zeros), np.ones(1), np.zeros(1, bool), 0.7).right.any()


def test_where_there_is_no_object_of_the_class_the_best_overlap_is_minus_one():
    for iou, objects in ((np.zeros((2, 0)), []), (np.ones((2, 1)), [1])):
        best = best_in_matrix(iou, np.zeros(2, int), np.array(objects, int))
        assert best.iou.tolist() == best.index.tolist() == [-1, -1]


def test_coco_match_at_iou_one_survives_rounding():
    iou = np.array([[1 - 1e-12]])
    assert match_coco(iou, [0], [0.5], [0], [1.0]).tolist() == [[True]]
    assert match_coco(iou - 1e-9, [0], [0.5], [0], [1.0]).tolist() == [[False]] and match_coco(iou, [0], [0.5], [0], [1.0]).dtype == bool


def test_coco_gives_the_last_of_equally_overlapping_objects():
    # The first prediction could have either object; the second only the first one.
    iou = np.array([[0.6, 0.6], [0.7, 0.0]])
    assert match_coco(iou, [0, 0], [0.9, 0.8], [0, 0], [0.5]).tolist() == [[True, True]]
    assert match_coco(iou[:, ::-1], [0, 0], [0.9, 0.8], [0, 0], [0.5]).tolist() == [[True, False]]


def test_an_overlap_at_the_threshold_is_a_match():
    best = BestOverlap(np.array([0.5, 0.25]), np.array([0, 1]))
    assert match_voc(best, np.array([0.9, 0.8]), np.array([False, False]), 0.5).right.tolist() == [True, False]
    assert match_voc(best, np.array([0.9, 0.8]), np.array([True, True]), 0.25).ignored.tolist() == [True, True]
    zeros = np.zeros(1, int)
    assert [match_coco(np.array([[0.5]]), zeros, np.ones(1), zeros, [thr]).tolist() for thr in (0.5, 0.51)] == [[[True]], [[False]]]

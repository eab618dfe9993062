"""Arrays with narrow dtypes and plain lists give the same results as wide arrays, and equal scores keep their order."""

from collections.abc import Mapping

import numpy as np
import pytest

from mmlabelpenet.evaluation import confusion as of_objects
from mmlabelpenet.evaluation import functional as measure
from mmlabelpenet.evaluation.scoring import Prediction, Truth

CLASSES = 3


def drawn():
    """200 images: their numbers times the classes are beyond 8 bits. Scores and overlaps have few values, which float32 holds."""
    rng = np.random.default_rng(0)

    def boxes(count):
        corners = rng.integers(0, 20, (count, 2))
        return np.concatenate([corners, corners + rng.integers(4, 20, (count, 2))], 1)

    found, there = 600, 300
    return dict(
        images=rng.integers(0, 200, found), labels=rng.integers(0, CLASSES, found), scores=rng.integers(1, 5, found) / 4,
        bboxes=boxes(found), object_images=rng.integers(0, 200, there), object_labels=rng.integers(0, CLASSES, there),
        object_bboxes=boxes(there), difficult=rng.random(there) < 0.3, iou=rng.integers(0, 9, (found, there)) / 8,
        best_iou=rng.integers(0, 9, found) / 8, index=rng.integers(0, there, found), object_iou=rng.integers(0, 9, there) / 8,
        right=rng.random((1, found)) < 0.5, masks=rng.random((found, 4, 5)) < 0.1, class_map=rng.integers(0, CLASSES + 1, (4, 5)),
    )  # fmt: skip


MEASURES = {
    'best_overlaps': lambda d: measure.best_overlaps(
        d['images'], d['labels'], np.asarray(d['bboxes']), d['object_images'], d['object_labels'], np.asarray(d['object_bboxes']), CLASSES
    ),
    'box_average_precisions': lambda d: measure.box_average_precisions(
        measure.Detections(d['images'], d['labels'], d['scores'], d['bboxes']),
        measure.Objects(d['object_images'], d['object_labels'], d['object_bboxes'], d['difficult']), CLASSES, (0.25,), ('area', '11point'),
    ),
    'average_precisions': lambda d: measure.average_precisions(
        d['labels'], d['scores'], np.array(d['right'], bool), np.zeros((1, 600), bool), np.array([600, 0, 600]), ('coco101',)
    ),
    'match_voc': lambda d: measure.match_voc(
        measure.BestOverlap(np.asarray(d['best_iou']), np.asarray(d['index'])), d['scores'], d['difficult'], 0.5
    ),
    'match_coco': lambda d: measure.match_coco(d['iou'], d['labels'], d['scores'], d['object_labels'], (0.5, 0.75)),
    'corloc_counts': lambda d: measure.corloc_counts(
        d['images'], d['labels'], d['scores'], d['best_iou'], d['object_images'], d['object_labels'], d['difficult'], CLASSES,
        skip_difficult_only=True,
    ),
    'best_in_matrix': lambda d: measure.best_in_matrix(d['iou'], d['labels'], d['object_labels']),
    'best_per_object': lambda d: measure.best_per_object(d['iou'], d['labels'], d['object_labels']),
    'mean_per_class': lambda d: measure.mean_per_class(d['object_iou'], d['object_labels'], CLASSES, d['object_iou']),
    'proposal_quality': lambda d: measure.proposal_quality(d['object_iou'], d['object_labels'], CLASSES),
    'pseudo_label_quality': lambda d: measure.pseudo_label_quality(
        d['labels'], d['scores'], measure.BestOverlap(np.asarray(d['best_iou']), np.asarray(d['index'])), d['object_labels'],
        d['difficult'], CLASSES, d['best_iou'],
    ),
    'box_iou': lambda d: measure.box_iou(d['bboxes'], d['object_bboxes']),
    'semantic_map': lambda d: measure.semantic_map(d['masks'], d['scores'], d['labels'], (4, 5)),
    'confusion_matrix': lambda d: measure.confusion_matrix(d['class_map'], d['class_map'], CLASSES),
    'confusion of objects': lambda d: of_objects.confusion(
        Prediction(np.asarray(d['bboxes']), np.asarray(d['scores']), np.asarray(d['labels'])),
        Truth(np.asarray(d['object_bboxes']), np.asarray(d['object_labels']), d['difficult']), CLASSES, iou_thr=0.25,
    ),
}  # fmt: skip
RANKED = (
    'box_average_precisions', 'average_precisions', 'match_voc', 'match_coco', 'corloc_counts', 'semantic_map', 'confusion of objects',
)  # fmt: skip


def assert_same(found, expected):
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys()
        found, expected = tuple(found.values()), tuple(expected.values())
    for one, other in zip(found, expected, strict=True) if isinstance(expected, tuple) else ((found, expected),):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def narrow(values):
    return values.astype(np.float32 if values.dtype.kind == 'f' else np.uint8)


@pytest.mark.parametrize('given', [narrow, np.ndarray.tolist])
@pytest.mark.parametrize('name', MEASURES)
def test_narrow_types_and_lists_are_measured_as_wide_arrays(name, given):
    data = drawn() | dict(index=np.minimum(drawn()['index'], 255))
    assert_same(MEASURES[name]({key: given(values) for key, values in data.items()}), MEASURES[name](data))


@pytest.mark.parametrize('name', RANKED)
def test_of_equal_scores_the_earlier_one_ranks_first(name):
    data = drawn()
    ranked = data['scores'] - 1e-6 * np.arange(len(data['scores']))
    assert_same(MEASURES[name](data), MEASURES[name](data | dict(scores=ranked)))


@pytest.mark.parametrize('name', ['mean_per_class', 'proposal_quality', 'pseudo_label_quality'])
def test_lists_may_be_empty(name):
    data = {key: values[:0] for key, values in drawn().items()}
    lists = {key: values if key in ('best_iou', 'index') else values.tolist() for key, values in data.items()}
    assert_same(MEASURES[name](lists), MEASURES[name](data))

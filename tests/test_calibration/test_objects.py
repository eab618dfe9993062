"""Finding objects among proposals."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmlabelpenet.calibration.objects import find_objects, inside_box, largest_component, mask_bbox, window


def candidates_of(bboxes, scores):
    """Class-agnostic boxes (R, 4) with scores (R, C)."""
    bboxes, scores = torch.as_tensor(bboxes, dtype=torch.float32), torch.as_tensor(scores, dtype=torch.float32)
    return InstanceData(rois=bboxes, bboxes=bboxes[:, None].expand(-1, scores.shape[1], 4), scores=scores)


def random_candidates(seed, count=60):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 40, size=(count, 2))
    bboxes = np.concatenate([corner, corner + rng.integers(5, 30, size=(count, 2))], 1)
    return candidates_of(bboxes, rng.permutation(count * 3).reshape(count, 3) / (count * 3))


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_objects(candidates, label, nms_thr, max_candidates, max_per_tag, min_score):
    """``{best: members}``, box by box."""
    boxes, scores = candidates.bboxes[:, label].tolist(), candidates.scores[:, label].tolist()
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])[:max_candidates]
    found = {}
    while left:
        best = left[0]
        members = [i for i in left if i == best or overlap(boxes[i], boxes[best]) > nms_thr]
        left = [i for i in left if i not in members]
        found[best] = sorted(members)
    kept = list(found.items())[:max_per_tag]
    return dict(item for rank, item in enumerate(kept) if rank == 0 or scores[item[0]] >= min_score)


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('settings', [(0.301, 300, None, 0.3), (0.501, 20, None, 0.0), (0.101, 300, 1, 0.0), (0.401, 300, 2, 0.951)])
def test_it_equals_a_slow_suppression(seed, settings):
    candidates = random_candidates(seed)
    names = ('nms_thr', 'max_candidates', 'max_per_tag', 'min_score')
    found = find_objects(candidates, [2, 0], **dict(zip(names, settings, strict=True)))
    for label in (2, 0):
        mine = {o.best: sorted(o.members.tolist()) for o in found if o.label == label}
        assert mine == slow_objects(candidates, label, *settings)
    assert [o.label for o in found] == sorted((o.label for o in found), reverse=True)
    for o in found:
        assert o.tags == (2, 0)
        assert o.score == candidates.scores[o.best, o.label]
        assert torch.equal(o.bbox, candidates.bboxes[o.best, o.label])


def test_the_best_object_of_a_tag_is_kept_however_low_its_score():
    found = find_objects(candidates_of([[0, 0, 9, 9], [20, 20, 30, 30]], [[-3.0], [-2.0]]), [0], min_score=0.3)
    assert [o.best for o in found] == [1]


def test_equal_scores_keep_the_order_of_the_proposals():
    found = find_objects(candidates_of([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30]], [[0.5]] * 3), [0])
    assert [o.best for o in found] == [0, 2]
    many = torch.arange(500.0)[:, None] * 10 + torch.tensor([0.0, 0, 9, 9])
    assert [o.best for o in find_objects(candidates_of(many, torch.full((500, 1), 0.5)), [0], max_candidates=400)] == [*range(400)]


def test_without_proposals_or_tags_nothing_is_found():
    assert find_objects(candidates_of(torch.zeros(0, 4), torch.zeros(0, 2)), [0, 1]) == []
    assert find_objects(random_candidates(0), []) == []


def test_an_empty_box_is_no_object_and_the_best_box_takes_its_place():
    boxes = [[128, 5, 128, 9], [0, 0, 9, 9], [20, 96, 30, 96], [0, 0, 9, 8]]
    found = find_objects(candidates_of(boxes, [[0.9], [0.2], [0.8], [0.1]]), [0], max_per_tag=1)
    assert [(o.best, o.members.tolist()) for o in found] == [(1, [1, 3])]
    assert find_objects(candidates_of(boxes[:1], [[0.9]]), [0]) == []


def test_the_largest_component_wins_over_the_larger_box():
    mask = np.zeros((20, 20), bool)
    mask[0, :], mask[5:10, 5:11] = True, True
    assert largest_component(mask).tolist() == [5, 5, 11, 10]


def test_corners_connect():
    assert largest_component(np.eye(4, dtype=bool)).tolist() == [0, 0, 4, 4]


def test_an_empty_mask_has_no_component():
    assert np.isnan(largest_component(np.zeros((3, 4), bool))).all()


def square(x1, y1, x2, y2):
    mask = np.zeros((40, 40), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_the_box_of_an_object_is_that_of_its_mask():
    bbox, mask = mask_bbox(square(4, 5, 20, 21), torch.tensor([0.0, 0, 22, 22]))
    assert bbox.tolist() == [4, 5, 20, 21] and mask.sum() == 256


@pytest.mark.parametrize('mask', [np.zeros((40, 40), bool), square(30, 30, 38, 38), square(0, 0, 3, 3)])
def test_the_proposal_stands_in_where_the_mask_is_empty_elsewhere_or_tiny(mask):
    proposal = torch.tensor([0.0, 0, 20, 20])
    bbox, kept = mask_bbox(mask, proposal)
    assert torch.equal(bbox, proposal)
    assert kept.shape == mask.shape and not kept.any()


def test_an_overlap_of_just_a_tenth_is_enough():
    proposal = torch.tensor([0.0, 0, 20, 20])
    assert mask_bbox(square(0, 0, 8, 5), proposal)[1].any()
    assert not mask_bbox(square(0, 0, 13, 3), proposal)[1].any()
    assert mask_bbox(square(0, 0, 10, 10), proposal, min_iou=0.25)[1].any()  # numbers that floats hold


def test_a_score_and_an_overlap_at_their_limits_keep_an_object():
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    candidates = candidates_of(boxes, [[0.75, 0], [0.5, 0], [0.25, 0]])
    assert [item.best for item in find_objects(candidates, [0], min_score=0.5)] == [0, 1]
    candidates = candidates_of([[0, 0, 10, 10], [0, 0, 10, 5]], [[0.75, 0], [0, 0.5]])
    assert [[item.label for item in find_objects(candidates, [0, 1], max_overlap=limit)] for limit in (0.5, 0.49)] == [[0, 1], [0]]
    equal = candidates_of([[0, 0, 10, 10], [0, 0, 10, 10]], [[0.5, 0], [0, 0.5]])
    assert [item.label for item in find_objects(equal, [0, 1], max_overlap=0.5)] == [0, 1]


def test_a_box_that_overlaps_an_object_by_just_the_threshold_does_not_belong_to_it():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 4], [0, 0, 10, 5]]  # the last has an overlap of 0.5 with the first, of 0.8 with the second
    found = find_objects(candidates_of(boxes, [[0.9], [0.8], [0.7]]), [0], nms_thr=0.5)
    assert [(item.best, item.members.tolist()) for item in found] == [(0, [0]), (1, [1, 2])]


def test_of_two_classes_on_one_object_the_better_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 1, 10, 10], [40, 40, 60, 60]])
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.6], [0.1, 0.5]])
    candidates = InstanceData(bboxes=boxes[:, None].expand(-1, 2, 4), scores=scores)
    both, single = (find_objects(candidates, [0, 1], max_overlap=value) for value in (1.0, 0.5))
    assert [(item.label, item.best) for item in both] == [(0, 0), (1, 1), (1, 2)]
    assert [(item.label, item.best) for item in single] == [(0, 0), (1, 2)]
    assert [item.label for item in find_objects(candidates[:2], [0, 1], max_overlap=0.5)] == [0]


@pytest.mark.parametrize(
    ('box', 'rows', 'columns'),
    [
        ((-9, -8, -2, -1), (0, 0), (0, 0)),
        ((40, 50, 60, 70), (50, 20), (40, 30)),
        ((-1.5, -2.5, 90, 99), (0, 20), (0, 30)),
        ((3, 4, 5, 8), (4, 8), (3, 5)),
    ],
)
def test_a_window_ends_at_the_border_also_for_a_box_beyond_it(box, rows, columns):
    assert window((20, 30), box) == (slice(*rows), slice(*columns))
    assert inside_box((20, 30), box).sum() == max(0, rows[1] - rows[0]) * max(0, columns[1] - columns[0])


def test_a_margin_is_a_share_of_each_side():
    assert window((100, 100), (20, 40, 30, 80), 0.5) == (slice(20, 100), slice(15, 35))
    assert inside_box((100, 100), (20, 40, 30, 80), 0.5).sum() == 80 * 20

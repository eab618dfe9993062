"""Cluster centres and label assignment against slow code written from the papers of OICR and PCL."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData

from mmlabelpenet.workbench.variants.proposal_clusters import assign_clusters, graph_centres, graph_hubs, highest_scoring, top_ranking


def image(seed, proposals=30, classes=4, tags=2):
    """Boxes that overlap much, scores, and tags."""
    rng = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(proposals, 2, generator=rng)
    boxes = torch.cat([corner, corner + 5 + 40 * torch.rand(proposals, 2, generator=rng)], 1)
    scores = torch.rand(proposals, classes, generator=rng) ** 4
    onehot = torch.zeros(classes)
    onehot[torch.randperm(classes, generator=rng)[:tags]] = 1
    return boxes, scores, onehot


def slow_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / total if total > 0 else 0.0


def slow_oicr(boxes, scores, onehot, threshold):
    """Algorithm 1 of OICR, line by line: label (C is background) and weight of each proposal."""
    boxes, scores = boxes.tolist(), scores.tolist()
    background, best = len(scores[0]), [float('-inf')] * len(boxes)
    labels, weights = [background] * len(boxes), [None] * len(boxes)
    for c, tagged in enumerate(onehot.tolist()):
        if tagged:
            column = [row[c] for row in scores]
            seed = column.index(max(column))
            for r, box in enumerate(boxes):
                iou = slow_iou(box, boxes[seed])
                if iou > best[r]:
                    best[r], weights[r] = iou, column[seed]
                    labels[r] = c if iou > threshold else background
    return labels, weights


def slow_top(values, groups):
    """k-means on a list, centres spread evenly at first; the members of the highest group, best first."""
    low, high = min(values), max(values)
    centres = [low + (high - low) * k / max(groups - 1, 1) for k in range(groups)]
    member = None
    while True:
        new = [min(range(groups), key=lambda k: (abs(value - centres[k]), k)) for value in values]
        if new == member:
            break
        member = new
        for k in range(groups):
            mine = [value for value, group in zip(values, member, strict=True) if group == k]
            centres[k] = sum(mine) / len(mine) if mine else centres[k]
    chosen = [i for i, group in enumerate(member) if group == max(member)]
    return sorted(chosen, key=lambda i: -values[i])


def slow_graph(boxes, scores, onehot, groups, threshold, most):
    """PCL's centres with sets: (proposal, class, score) of each."""
    boxes, found, taken = boxes.tolist(), [], set()
    for c, tagged in enumerate(onehot.tolist()):
        pool = [r for r in range(len(boxes)) if r not in taken]
        if not tagged or not pool:
            continue
        value = {r: scores[r, c].item() for r in pool}
        vertices = [pool[i] for i in slow_top([value[r] for r in pool], groups)]
        centres = []
        while vertices:
            near = {v: [u for u in vertices if u == v or slow_iou(boxes[u], boxes[v]) > threshold] for v in vertices}
            hub = max(vertices, key=lambda v: len(near[v]))  # the first of several
            centres.append((hub, c, max(value[u] for u in near[hub])))
            vertices = [v for v in vertices if v not in near[hub]]
        centres = sorted(centres, key=lambda centre: -centre[2])[:most]
        taken |= {r for r, _, _ in centres}
        found += centres
    return found


def labels_and_weights(boxes, centres, classes, **options):
    assigned = assign_clusters(boxes, centres, **options)
    return torch.cat([centres.labels, torch.tensor([classes])])[assigned.clusters].tolist(), assigned.weights


@pytest.mark.parametrize('tags', [1, 2, 4])
@pytest.mark.parametrize('seed', range(4))
def test_labels_and_inherited_weights_equal_algorithm_1_of_oicr(seed, tags):
    boxes, scores, onehot = image(seed, tags=tags)
    labels, weights = labels_and_weights(boxes, highest_scoring(boxes, scores, onehot), classes=4)
    expected_labels, expected_weights = slow_oicr(boxes, scores, onehot, 0.5)
    assert labels == expected_labels
    assert 4 in labels and len(set(labels)) > 1
    torch.testing.assert_close(weights, torch.tensor(expected_weights))


def test_a_seed_of_two_tags_belongs_to_the_first():
    boxes, scores, onehot = torch.tensor([[0.0, 0, 9, 9], [20, 20, 29, 29]]), torch.tensor([[0.5, 0.9], [0.1, 0.2]]), torch.ones(2)
    labels, weights = labels_and_weights(boxes, highest_scoring(boxes, scores, onehot), classes=2)
    assert labels == slow_oicr(boxes, scores, onehot, 0.5)[0] == [0, 2]
    assert weights.tolist() == [0.5, 0.5]


def test_half_an_overlap_is_not_enough_and_the_threshold_is_a_setting():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 1]])
    centres = InstanceData(bboxes=boxes[:1], labels=torch.tensor([2]), scores=torch.tensor([0.25]))
    assert assign_clusters(boxes, centres).clusters.tolist() == [0, 1, 1]
    assert assign_clusters(boxes, centres, iou_thr=0.4).clusters.tolist() == [0, 0, 1]
    assert assign_clusters(boxes, centres, ignore_iou=0.2).weights.tolist() == [0.25, 0.25, 0]
    assert assign_clusters(boxes, centres).weights.tolist() == [0.25] * 3


@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.integers(0, 60), min_size=1, max_size=25), groups=st.integers(1, 4))
def test_the_top_ranking_group_equals_k_means_on_a_list(values, groups):
    scores = torch.tensor(values, dtype=torch.float64) / 64
    assert top_ranking(scores, groups).tolist() == slow_top(scores.tolist(), groups)


def test_the_top_ranking_group_holds_the_best_and_is_the_same_in_any_order():
    scores = image(3, proposals=50)[1][:, 0]
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    top = top_ranking(scores)
    assert top[0] == scores.argmax() and 0 < len(top) < 50
    assert scores[top].min() > scores[[i for i in range(50) if i not in top.tolist()]].max()
    assert order[top_ranking(scores[order])].tolist() == top.tolist()
    assert top_ranking(scores[:0]).tolist() == []
    assert top_ranking(torch.full((4,), 0.5)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(('groups', 'threshold', 'most'), [(3, 0.4, 5), (1, 0.2, 2), (2, 0.7, 100)])
@pytest.mark.parametrize('tags', [1, 3])
@pytest.mark.parametrize('seed', range(3))
def test_graph_centres_equal_the_papers_algorithm_with_sets(seed, tags, groups, threshold, most):
    boxes, scores, onehot = image(seed, tags=tags)
    centres = graph_centres(boxes, scores, onehot, groups, threshold, most)
    expected = slow_graph(boxes, scores, onehot, groups, threshold, most)
    assert torch.equal(centres.bboxes, boxes[[r for r, _, _ in expected]])
    assert centres.labels.tolist() == [c for _, c, _ in expected]
    torch.testing.assert_close(centres.scores, torch.tensor([score for _, _, score in expected]))


def test_a_graph_falls_into_hubs_that_cover_every_vertex_once():
    boxes, scores, _ = image(5)
    linked = torch.tensor([[slow_iou(a, b) > 0.3 for b in boxes.tolist()] for a in boxes.tolist()])
    before = linked.clone()
    hubs, best = graph_hubs(linked, scores[:, 0])
    assert torch.equal(linked, before)
    assert not linked[hubs][:, hubs].fill_diagonal_(False).any()
    assert linked[hubs].any(0).all()
    assert best.max() == scores[:, 0].max()


def test_boxes_without_an_area_are_hubs_of_their_own():
    boxes = torch.tensor([[3.0, 3, 3, 3], [5, 5, 5, 5]])
    centres = graph_centres(boxes, torch.tensor([[0.2], [0.3]]), torch.ones(1), num_groups=1)
    assert [round(score, 2) for score in centres.scores.tolist()] == [0.3, 0.2]


@pytest.mark.parametrize('find', [highest_scoring, graph_centres])
def test_one_proposal_is_the_centre_and_more_tags_than_proposals_are_no_error(find):
    boxes, scores, _ = image(0, proposals=1)
    centres = find(boxes, scores, torch.tensor([0.0, 1, 0, 0]))
    assert torch.equal(centres.bboxes, boxes) and centres.labels.tolist() == [1] and centres.scores.tolist() == scores[0, 1:2].tolist()
    many = find(boxes, scores, torch.ones(4))
    assert many.labels.tolist() == ([0, 1, 2, 3] if find is highest_scoring else [0])  # a proposal is the graph's centre of one tag only

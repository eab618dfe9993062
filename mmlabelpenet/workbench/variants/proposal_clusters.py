"""Clusters of proposals around likely objects, used for online refinement of instance classifiers.

OICR: Tang et al., "Multiple Instance Detection Network with Online Instance Classifier Refinement", CVPR 2017.
PCL: Tang et al., "PCL: Proposal Cluster Learning for Weakly Supervised Object Detection", TPAMI 2018.

Shapes: R proposals of one image, C classes, K cluster centres, V vertices of a graph.
Boxes: float xyxy in pixels of the network input. Centres are InstanceData with ``bboxes`` float (K, 4), ``labels`` int64 (K,) and
``scores`` float (K,).
"""

import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor


def highest_scoring(proposals: Tensor, scores: Tensor, onehot: Tensor) -> InstanceData:
    """One centre per tag, its highest-scoring proposal (OICR, Alg. 1).

    Args:
        proposals: float (R, 4), at least one.
        scores: scores of the teacher, float (R, C).
        onehot: tags of the image, float (C,).

    >>> boxes = torch.tensor([[0., 0, 4, 4], [8, 8, 9, 9]])
    >>> centres = highest_scoring(boxes, torch.tensor([[0.1, 0.3], [0.2, 0.1]]), torch.tensor([0., 1]))
    >>> centres.bboxes.tolist(), centres.labels.tolist()
    ([[0.0, 0.0, 4.0, 4.0]], [1])
    """
    tags = onehot.nonzero().flatten()
    best, index = scores[:, tags].max(0)
    return InstanceData(bboxes=proposals[index], labels=tags, scores=best)


def graph_centres(
    proposals: Tensor, scores: Tensor, onehot: Tensor, num_groups: int = 3, graph_iou: float = 0.4, max_per_tag: int = 5
) -> InstanceData:
    """Several centres per tag: the hubs of a graph of the top-ranking proposals (PCL).

    A centre's score is the highest among the vertices it covers. No proposal is the centre of two tags.

    Args:
        proposals: float (R, 4), at least one.
        scores: scores of the teacher, float (R, C).
        onehot: tags of the image, float (C,).
        num_groups: k of the k-means that finds the top-ranking proposals of a tag, see :func:`top_ranking`.
        graph_iou: proposals that overlap by more are linked.
        max_per_tag: maximum number of centres per tag, the highest-scoring ones, as in the authors' code.

    >>> boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 3], [0, 0, 3, 4], [8, 8, 9, 9]])
    >>> centres = graph_centres(boxes, torch.tensor([[0.5], [0.9], [0.8], [0.7]]), torch.ones(1), num_groups=1)
    >>> centres.bboxes.tolist(), [round(score, 1) for score in centres.scores.tolist()]
    ([[0.0, 0.0, 4.0, 3.0], [8.0, 8.0, 9.0, 9.0]], [0.9, 0.7])
    """
    free = torch.ones(len(proposals), dtype=torch.bool, device=proposals.device)
    chosen, labels, confidences = [], [], []
    for tag in onehot.nonzero().flatten():
        candidates = free.nonzero().flatten()
        candidates = candidates[top_ranking(scores[candidates, tag], num_groups)]
        linked = bbox_overlaps(proposals[candidates], proposals[candidates]) > graph_iou
        hubs, best = graph_hubs(linked, scores[candidates, tag])
        kept = best.argsort(descending=True, stable=True)[:max_per_tag]
        chosen.append(candidates[hubs[kept]])
        labels.append(tag.expand(len(kept)))
        confidences.append(best[kept])
        free[chosen[-1]] = False
    return InstanceData(bboxes=proposals[torch.cat(chosen)], labels=torch.cat(labels), scores=torch.cat(confidences))


def top_ranking(scores: Tensor, num_groups: int = 3, max_iters: int = 100) -> Tensor:
    """The group of highest scores found by one-dimensional k-means (PCL).

    # Paper: the initialisation of k-means is not specified; here its centres are spread evenly from the lowest to the highest score.

    Args:
        scores: float (R,).

    Returns:
        indices of the group, by descending score, int64 (n,); empty without scores.

    >>> top_ranking(torch.tensor([0.1, 0.9, 0.5, 0.8, 0.2])).tolist()
    [1, 3]
    """
    if len(scores) == 0:
        return torch.zeros(0, dtype=torch.long, device=scores.device)
    low, high = scores.aminmax()
    means = low + (high - low) * (torch.arange(num_groups, dtype=scores.dtype, device=scores.device) / max(num_groups - 1, 1))
    group = None
    for _ in range(max_iters):
        nearest = (scores[:, None] - means).abs().argmin(1)
        if group is not None and torch.equal(nearest, group):
            break
        group = nearest
        sums, counts = torch.zeros_like(means).index_add(0, group, scores), group.bincount(minlength=num_groups)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), means)
    members = (group == group.max()).nonzero().flatten()
    return members[scores[members].argsort(descending=True, stable=True)]


def graph_hubs(linked: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Repeatedly select the vertex with the most links and remove it with its neighbours, until none is left (PCL).

    Args:
        linked: bool (V, V), symmetric; every vertex counts as linked to itself.
        scores: float (V,).

    Returns:
        the selected vertices, int64 (K,), in order (ties go to the first), and for each the highest score among it and the neighbours
        removed with it, float (K,).

    >>> line = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    >>> [found.tolist() for found in graph_hubs(line, torch.tensor([4.0, 1.0, 2.0, 3.0]))]
    [[1, 3], [4.0, 3.0]]
    """
    linked = linked.clone().fill_diagonal_(True)
    hubs, best = [], []
    while linked.any():
        hub = linked.sum(1).argmax()
        covered = linked[hub].clone()
        hubs.append(hub)
        best.append(scores[covered].max())
        linked[covered] = False
        linked[:, covered] = False
    if not hubs:
        return torch.zeros(0, dtype=torch.long, device=scores.device), scores[:0]
    return torch.stack(hubs), torch.stack(best)


def assign_clusters(proposals: Tensor, centres: InstanceData, iou_thr: float = 0.5, ignore_iou: float = 0.0) -> InstanceData:
    """Assign each proposal to the centre it overlaps most, or to the background, with the score of that centre (OICR, Alg. 1).

    Args:
        proposals: float (R, 4).
        centres: see the module; at least one.
        iou_thr: overlap above which a proposal belongs to the cluster.
        ignore_iou: background with a smaller overlap with every centre has weight 0. The papers have no such limit, the authors' code uses
            0.1.

    Returns:
        ``clusters`` int64 (R,), K is the background; ``weights`` float (R,), those of the nearest centre or 0.

    >>> boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 1], [8, 8, 9, 9]])
    >>> centres = InstanceData(bboxes=boxes[:1], labels=torch.tensor([3]), scores=torch.tensor([0.5]))
    >>> assigned = assign_clusters(boxes, centres, ignore_iou=0.1)
    >>> assigned.clusters.tolist(), assigned.weights.tolist()
    ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.0])
    """
    overlap, nearest = bbox_overlaps(proposals, centres.bboxes).max(1)
    clusters = torch.where(overlap > iou_thr, nearest, len(centres))
    return InstanceData(clusters=clusters, weights=centres.scores[nearest] * (overlap >= ignore_iou))

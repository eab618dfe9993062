"""Online refinement of instance classifiers, OICR and PCL, the baselines of the paper's tables (references: ``proposal_clusters.py``).

A multiple-instance head scores proposals; B further branches on the same features classify them into C classes and background, each
supervised by the previous one. This is unrelated to the stage called refinement.

Shapes: R proposals of one image, C classes, K cluster centres, B branches.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from mmlabelpenet.models.mil_losses import proposal_scores
from mmlabelpenet.registry import MODELS
from mmlabelpenet.schema import check_range
from mmlabelpenet.workbench.variants.proposal_clusters import assign_clusters, graph_centres, highest_scoring


def instance_loss(logits: Tensor, clusters: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
    """Weighted softmax cross-entropy of all proposals, divided by their number (OICR).

    Args:
        logits: float (R, C + 1), the background last.
        clusters: cluster of each proposal, int64 (R,) in [0, K]; K is the background.
        weights: float (R,).
        labels: labels of the centres, int64 (K,).

    >>> half = instance_loss(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([1.0, 0.0]), torch.tensor([0]))
    >>> round(half.item(), 4)
    0.3466
    """
    background = labels.new_tensor([logits.shape[1] - 1])
    targets = torch.cat([labels, background])[clusters]
    return (weights * F.cross_entropy(logits, targets, reduction='none')).mean()


def cluster_loss(logits: Tensor, clusters: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
    """Each cluster is a small bag, classified by the mean probability of its proposals; background as in :func:`instance_loss` (PCL).

    A cluster of M proposals is weighted by M times the score of its centre.

    Arguments as for :func:`instance_loss`.

    >>> logits = torch.tensor([[0.0, 0.0], [50.0, 0.0]])  # the two proposals of a cluster: probabilities 0.5 and 1 of its class
    >>> round(cluster_loss(logits, torch.tensor([0, 0]), torch.ones(2), torch.tensor([0])).item(), 4)  # -ln 0.75
    0.2877
    """
    log_probs = logits.log_softmax(1)
    total = -(weights * log_probs[:, -1])[clusters == len(labels)].sum()
    for number, label in enumerate(labels):
        members = (clusters == number).nonzero().flatten()
        if len(members):
            log_mean = log_probs[members, label].logsumexp(0) - torch.tensor(float(len(members))).log()
            total = total - weights[members].sum() * log_mean
    return total / len(logits)


class RefinementBranches(BaseModule):
    """Common base of OICR and PCL: the branches, their mean score, and their supervision.

    Args:
        in_channels: width of the input features of the branches.
        num_classes: C.
        num_branches: B; 3 in both papers.
        iou_thr: overlap with a centre above which a proposal takes its class.
        ignore_iou: see :func:`~mmlabelpenet.workbench.variants.proposal_clusters.assign_clusters`.
        loss_weight: multiplies the loss of every branch.
        init_cfg: N(0, 0.01) by default.

    Raises:
        ValueError: no branch.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        num_branches: int = 3,
        iou_thr: float = 0.5,
        ignore_iou: float = 0.1,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Linear', std=0.01))
        check_range(1, num_branches=num_branches)
        self.branches = nn.ModuleList(nn.Linear(in_channels, num_classes + 1) for _ in range(num_branches))
        self.iou_thr, self.ignore_iou = iou_thr, ignore_iou
        self.loss_weight = loss_weight

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits of every branch, float (R, C + 1) each, of features (R, in_channels)."""
        return [branch(x) for branch in self.branches]

    def scores(self, logits: Sequence[Tensor]) -> Tensor:
        """Scores at test time: mean of the branches' probabilities, without the background, float (R, C)."""
        return torch.stack([each.softmax(1) for each in logits]).mean(0)[:, :-1]

    def losses(self, proposals: Tensor, cls_logits: Tensor, weight_logits: Tensor, logits: Sequence[Tensor], onehot: Tensor) -> Tensor:
        """Loss of every branch on one image. No gradient flows to a teacher.

        The first teacher is WSDDN's product of two softmaxes, whatever the loss of the multiple-instance head, because weights must be in
        [0, 1].

        Args:
            proposals: float (R, 4), at least one.
            cls_logits, weight_logits: logits of the multiple-instance head, float (R, C).
            logits: logits of the branches, float (R, C + 1) each.
            onehot: tags, float (C,), at least one.

        Returns:
            float (B,).
        """
        teacher = proposal_scores(cls_logits.detach().float().softmax(1), weight_logits.detach().float())
        losses = []
        for branch in logits:
            centres = self.centres(proposals, teacher, onehot)
            assigned = assign_clusters(proposals, centres, self.iou_thr, self.ignore_iou)
            losses.append(self.branch_loss(branch.float(), assigned.clusters, assigned.weights, centres.labels))
            teacher = branch.detach().float().softmax(1)[:, :-1]
        return self.loss_weight * torch.stack(losses)

    def centres(self, proposals: Tensor, scores: Tensor, onehot: Tensor) -> InstanceData:
        """Cluster centres from a teacher's scores (R, C)."""
        raise NotImplementedError

    def branch_loss(self, logits: Tensor, clusters: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
        """Loss of one branch, see :func:`instance_loss`."""
        raise NotImplementedError


@MODELS.register_module()
class OICRBranches(RefinementBranches):
    """Online instance classifier refinement: the best proposal of a tag supervises those that overlap it.

    Args:
        **kwargs: as for :class:`RefinementBranches`.
    """

    def centres(self, proposals: Tensor, scores: Tensor, onehot: Tensor) -> InstanceData:
        """See :func:`~mmlabelpenet.workbench.variants.proposal_clusters.highest_scoring`."""
        return highest_scoring(proposals, scores, onehot)

    def branch_loss(self, logits: Tensor, clusters: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
        """See :func:`instance_loss`."""
        return instance_loss(logits, clusters, weights, labels)


@MODELS.register_module()
class PCLBranches(RefinementBranches):
    """Proposal cluster learning: several centres per tag, and a loss on each cluster as a bag.

    Args:
        num_groups, graph_iou, max_per_tag: as for :func:`~mmlabelpenet.workbench.variants.proposal_clusters.graph_centres`.
        **kwargs: as for :class:`RefinementBranches`.
    """

    def __init__(self, num_groups: int = 3, graph_iou: float = 0.4, max_per_tag: int = 5, **kwargs) -> None:
        super().__init__(**kwargs)
        check_range(1, num_groups=num_groups, max_per_tag=max_per_tag)
        check_range(0, 1, graph_iou=graph_iou)
        self.graph = dict(num_groups=num_groups, graph_iou=graph_iou, max_per_tag=max_per_tag)

    def centres(self, proposals: Tensor, scores: Tensor, onehot: Tensor) -> InstanceData:
        """See :func:`~mmlabelpenet.workbench.variants.proposal_clusters.graph_centres`."""
        return graph_centres(proposals, scores, onehot, **self.graph)

    def branch_loss(self, logits: Tensor, clusters: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
        """See :func:`cluster_loss`."""
        return cluster_loss(logits, clusters, weights, labels)

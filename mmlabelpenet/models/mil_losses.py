"""Multiple-instance learning: from proposals' logits to image-level classification (paper Sec. 3.2, Eq. 1 and 2).

Shapes: R proposals of one image, C classes. All functions take *one* image.
"""

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor, nn

from mmlabelpenet.registry import MODELS


def proposal_scores(cls_logits: Tensor, weight_logits: Tensor) -> Tensor:
    """Weight class logits x^{c,1} by the share of each proposal in its image, softmax(x^{p,1}) over R (Eq. 1).

    Both are float (R, C), as is the result x^1, whose sum over R gives the image scores s^1. Other shapes raise a ValueError.

    >>> proposal_scores(torch.ones(2, 1), torch.zeros(2, 1)).tolist()
    [[0.5], [0.5]]
    """
    if cls_logits.shape != weight_logits.shape:
        raise ValueError(
            f'Class and weight logits must have the same shape, got {tuple(cls_logits.shape)} and {tuple(weight_logits.shape)}.'
        )
    return cls_logits * weight_logits.softmax(0)


@MODELS.register_module()
class MILSoftmaxLoss(nn.Module):
    """Softmax cross-entropy of the image scores against the tags, as printed in Eq. 2, times ``loss_weight``.

    Its minimum is k·ln k for an image with k tags (choice C2).
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def scores(self, cls_logits: Tensor, weight_logits: Tensor) -> Tensor:
        """x^1 of Eq. 1, float (R, C)."""
        return proposal_scores(self.class_scores(cls_logits), weight_logits)

    @staticmethod
    def class_scores(cls_logits: Tensor) -> Tensor:
        """The x^{c,1} that Eq. 1 weights, float (R, C): here the logits themselves (choice C1)."""
        return cls_logits

    def ranking(self, cls_logits: Tensor, weight_logits: Tensor) -> Tensor:
        """Ranking scores of proposals (choice C6), float (R, C): :meth:`scores`, except that a larger share also increases a negative class
        score x.

        As printed, the proposal with the smallest share would rank first for negative x; here x is multiplied by the share of the other
        proposals.

        >>> MILSoftmaxLoss().ranking(torch.tensor([[-1.0], [-1.0]]), torch.tensor([[0.25], [0.75]]).log()).round(decimals=4).tolist()
        [[-0.75], [-0.25]]
        """
        scores, share = self.class_scores(cls_logits), weight_logits.softmax(0)
        return scores * torch.where(scores < 0, 1 - share, share)

    def forward(self, cls_logits: Tensor, weight_logits: Tensor, onehot: Tensor) -> Tensor:
        """L_1 of Eq. 2 for logits (R, C) and the tags y_I, float (C,).

        >>> loss = MILSoftmaxLoss()
        >>> round(loss(torch.zeros(3, 2), torch.zeros(3, 2), torch.tensor([1.0, 0.0])).item(), 4)
        0.6931
        """
        image_scores = self.scores(cls_logits, weight_logits).sum(0)
        return -self.loss_weight * (onehot * image_scores.log_softmax(0)).sum()


def single_labels(proposals: Tensor, bboxes: Tensor, labels: Tensor, num_classes: int, beta: float = 0.5) -> Tensor:
    """Labels of proposals in backward validation (Sec. 3.3): the label of an object with an overlap above β, else background.

    Args:
        proposals: float (R, 4).
        bboxes, labels: objects that the detection stage found, float (K, 4) and int64 (K,).
        num_classes: C, which is also the label of the background.
        beta: β = 0.5 in the paper.

    Returns:
        int64 (R,) in [0, C].

    >>> boxes = torch.tensor([[0., 0, 4, 4], [8, 8, 9, 9]])
    >>> single_labels(boxes, boxes[:1], torch.tensor([3]), num_classes=5).tolist()
    [3, 5]
    """
    background = torch.full((len(proposals),), num_classes, dtype=torch.long, device=proposals.device)
    if len(bboxes) == 0:
        return background
    overlap, nearest = bbox_overlaps(proposals, bboxes).max(1)
    return torch.where(overlap > beta, labels[nearest], background)

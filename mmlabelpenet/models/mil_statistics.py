"""Statistics of multiple-instance learning for the log: a collapse to parts or background shows in them, not in the loss.

Shapes: R proposals of one image, C classes, K tags of the image. Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def tag_statistics(bboxes: Tensor, scores: Tensor, weight_logits: Tensor, onehot: Tensor, size: tuple[int, int]) -> Tensor:
    """Of each tag, the area of its best-scored box and the entropy of its proposal weights (the softmax of Eq. 1), float (K, 2).

    The area is a share of the image's; the entropy one of the largest possible, log R: 1 where all proposals count alike.

    Args:
        bboxes: proposals, float (R, 4), R > 0.
        scores, weight_logits: what ranks them, and x^{p,1}, float (R, C).
        onehot: tags, float (C,).
        size: (h, w) of the image.

    >>> boxes = torch.tensor([[0.0, 0, 4, 5], [0, 0, 2, 5]])
    >>> tag_statistics(boxes, torch.tensor([[0.1], [0.9]]), torch.zeros(2, 1), torch.ones(1), (5, 10)).tolist()
    [[0.20000000298023224, 1.0]]
    """
    tags = onehot.nonzero().flatten()
    chosen = bboxes[scores[:, tags].argmax(0)]
    areas = (chosen[:, 2] - chosen[:, 0]) * (chosen[:, 3] - chosen[:, 1]) / (size[0] * size[1])
    return torch.stack([areas, weight_entropy(weight_logits[:, tags].float())], 1)


def weight_entropy(weight_logits: Tensor) -> Tensor:
    """Entropy of each column's softmax over R proposals as a share of log R, float (K,), from float (R, K); 1 for a single proposal."""
    log_weights = weight_logits.log_softmax(0)
    entropy = -(log_weights.exp() * log_weights).sum(0)
    most = torch.tensor(float(len(weight_logits))).log().item()
    return entropy / most if most else torch.ones_like(entropy)


def summarise_tags(statistics: Sequence[Tensor], like: Tensor) -> dict[str, Tensor]:
    """Median area and mean entropy over all tags of a batch, for the log; both 0, on the device of ``like``, where there is no tag.

    >>> {key: float(value) for key, value in summarise_tags([torch.tensor([[0.5, 1.0], [0.1, 0.5], [0.2, 0.0]])], torch.ones(1)).items()}
    {'chosen_area': 0.20000000298023224, 'entropy': 0.5}
    """
    if not statistics:
        return dict(chosen_area=like.new_zeros(()), entropy=like.new_zeros(()))
    together = torch.cat(list(statistics))
    return dict(chosen_area=together[:, 0].median(), entropy=together[:, 1].mean())

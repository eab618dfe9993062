"""Check losses before the update, and compute statistics for the log, which reveal a collapse of multiple-instance learning.

Shapes: R proposals of one image, C classes, K tags of the image. Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor


def check_finite(losses: dict, samples: Sequence[DetDataSample]) -> None:
    """Raise a FloatingPointError before NaN or infinity reaches the weights: losses are tensors, or lists of tensors, by name.

    >>> check_finite({'detection.loss_cls': torch.tensor(float('nan'))}, [])
    Traceback (most recent call last):
    FloatingPointError: detection.loss_cls is not finite for images []. The last checkpoint is intact;
        lower the learning rate, clip gradients, or inspect these images.
    """
    for name, value in losses.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if name != 'labels' and not all(torch.isfinite(v).all() for v in values):
            ids = [sample.img_id for sample in samples]
            raise FloatingPointError(
                f'{name} is not finite for images {ids}. The last checkpoint is intact; lower the learning rate, '
                'clip gradients, or inspect these images.'
            )


def label_statistics(pseudo: Sequence[InstanceData]) -> dict[str, Tensor]:
    """Pseudo instances per image and their mean weight (0 without any), for the log.

    >>> {key: float(value) for key, value in label_statistics([InstanceData(weights=torch.tensor([0.5, 1.0]))]).items()}
    {'labels_per_image': 2.0, 'label_weight': 0.75}
    """
    weights = torch.cat([labels.weights for labels in pseudo])
    mean = weights.mean() if len(weights) else weights.new_zeros(())
    return dict(labels_per_image=weights.new_tensor(len(weights) / len(pseudo)), label_weight=mean)


@torch.no_grad()
def tag_statistics(bboxes: Tensor, scores: Tensor, weight_logits: Tensor, onehot: Tensor, size: tuple[int, int]) -> Tensor:
    """For each tag, the area of its highest-scoring box and the entropy of its proposal weights (the softmax of Eq. 1), float (K, 2).

    The area is a fraction of the image; the entropy is relative to its maximum log R, so it is 1 for uniform weights.

    Args:
        bboxes: proposals, float (R, 4), R > 0.
        scores, weight_logits: ranking scores, and x^{p,1}, float (R, C).
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
    """Entropy of each column's softmax over R proposals, divided by log R, float (K,), from float (R, K); 1 for a single proposal."""
    log_weights = weight_logits.log_softmax(0)
    entropy = -(log_weights.exp() * log_weights).sum(0)
    most = torch.tensor(float(len(weight_logits))).log().item()
    return entropy / most if most else torch.ones_like(entropy)


def summarise_tags(statistics: Sequence[Tensor], like: Tensor) -> dict[str, Tensor]:
    """Median area and mean entropy over all tags of a batch, for the log; both 0, on the device of ``like``, if there are no tags.

    >>> {key: float(value) for key, value in summarise_tags([torch.tensor([[0.5, 1.0], [0.1, 0.5], [0.2, 0.0]])], torch.ones(1)).items()}
    {'chosen_area': 0.20000000298023224, 'entropy': 0.5}
    """
    if not statistics:
        return dict(chosen_area=like.new_zeros(()), entropy=like.new_zeros(()))
    together = torch.cat(list(statistics))
    return dict(chosen_area=together[:, 0].median(), entropy=together[:, 1].mean())

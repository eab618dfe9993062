"""Losses on their way to the optimizer and the log."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor


def check_finite(losses: dict, samples: Sequence[DetDataSample]) -> None:
    """Stop before NaN or infinity reaches the weights: losses are tensors, or lists of tensors, by name.

    Raises:
        FloatingPointError: a loss is NaN or infinite; names it and the images.

    >>> check_finite({'detection.loss_cls': torch.tensor(float('nan'))}, [])
    Traceback (most recent call last):
    FloatingPointError: detection.loss_cls is not finite in images []. The last checkpoint is unharmed;
        lower the learning rate, clip gradients, or look at these images.
    """
    for name, value in losses.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if name != 'labels' and not all(torch.isfinite(v).all() for v in values):
            ids = [sample.img_id for sample in samples]
            raise FloatingPointError(
                f'{name} is not finite in images {ids}. The last checkpoint is unharmed; lower the learning rate, '
                'clip gradients, or look at these images.'
            )


def label_statistics(pseudo: Sequence[InstanceData]) -> dict[str, Tensor]:
    """Pseudo instances per image and their mean weight (0 without any), for the log.

    >>> {key: float(value) for key, value in label_statistics([InstanceData(weights=torch.tensor([0.5, 1.0]))]).items()}
    {'labels_per_image': 2.0, 'label_weight': 0.75}
    """
    weights = torch.cat([labels.weights for labels in pseudo])
    mean = weights.mean() if len(weights) else weights.new_zeros(())
    return dict(labels_per_image=weights.new_tensor(len(weights) / len(pseudo)), label_weight=mean)

"""A loss that is no number stops training before it reaches the weights."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample


def check_finite(losses: dict, samples: Sequence[DetDataSample]) -> None:
    """Stop before a NaN reaches the weights.

    Args:
        losses: tensors, or lists of tensors, by name ``<stage>.loss_…``.
        samples: of the batch, with ``img_id``.

    Raises:
        FloatingPointError: a loss is NaN or infinite.

    >>> check_finite({'detection.loss_cls': torch.tensor(float('nan'))}, [])
    Traceback (most recent call last):
    FloatingPointError: detection.loss_cls is not finite in images []. The last checkpoint is unharmed;
        lower the learning rate, clip gradients, or look at these images.
    """
    for name, value in losses.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if not all(torch.isfinite(v).all() for v in values):
            ids = [sample.img_id for sample in samples]
            raise FloatingPointError(
                f'{name} is not finite in images {ids}. The last checkpoint is unharmed; lower the learning rate, '
                'clip gradients, or look at these images.'
            )

"""Predict the tags of an image: logistic regression on the spatial mean of its map, with class activation maps.

Multiple-instance learning (Eq. 1, 2) converges to the most discriminative part of an object. A whole-image classifier does not select
proposals, and its class activation map (Zhou et al., CVPR 2016) covers more of the object.

Shapes: N images, C classes, D channels, (H, W) map.
"""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants.pooled_mil_head import CentredNorm


@MODELS.register_module()
class TagHead(BaseModule):
    """A linear whole-image classifier.

    Args:
        num_classes: C.
        in_channels: D.
        length: length of the centred features, the input of the linear layer.
        loss_weight: multiplies the loss.
        init_cfg: by default N(0, 0.01).

    >>> head = TagHead(num_classes=2, in_channels=8)
    >>> head(torch.ones(3, 8)).shape, head.activation_maps(torch.ones(8, 5, 6)).shape
    (torch.Size([3, 2]), torch.Size([2, 5, 6]))
    """

    def __init__(
        self, num_classes: int, in_channels: int, length: float = 3.0, loss_weight: float = 1.0, init_cfg: dict | list[dict] | None = None
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Linear', std=0.01))
        self.norm = CentredNorm(in_channels, length)
        self.fc = nn.Linear(in_channels, num_classes)
        self.loss_weight = loss_weight

    def forward(self, means: Tensor) -> Tensor:
        """Logits (N, C) of mean features (N, D)."""
        return self.fc(self.norm(means))

    def loss(self, means: Tensor, samples: Sequence[DetDataSample]) -> Tensor:
        """Binary cross-entropy, summed over classes and averaged over images with tags.

        Args:
            means: mean features of the images, float (N, D).
            samples: with ``gt_image_labels``.
        """
        self.norm.learn([means.detach()])
        onehots = torch.stack([sample.gt_image_labels.onehot for sample in samples]).to(means)
        losses = F.binary_cross_entropy_with_logits(self(means), onehots, reduction='none').sum(1)
        tagged = onehots.any(1)
        return self.loss_weight * (losses * tagged).sum() / tagged.sum().clamp(min=1)

    def activation_maps(self, feature: Tensor) -> Tensor:
        """Contribution of each place of a map (D, H, W) to the logits, up to a positive factor per image; float (C, H, W)."""
        return torch.einsum('cd,dhw->chw', self.fc.weight, feature - self.norm.mean[:, None, None])

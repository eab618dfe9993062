"""A classification head on the spatial mean of each RoI, whose excitation is propagated from the mean to the averaged places.

Shapes: R proposals, C classes, D channels, (p, p) RoI grid.
"""

from collections.abc import Iterable

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn import functional as F

from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants.conv_excitation import excite_average_pool


@MODELS.register_module()
class PooledMILBBoxHead(MILBBoxHead):
    """Average pooling over the RoI grid, then the branches x^{c,1} and x^{p,1}.

    With a frozen ImageNet tail and linear branches, this is a class activation map for each proposal: it has few weights, so few images
    suffice, and attention covers the object instead of its most discriminative part.

    Args:
        num_classes: C.
        in_channels: D.
        fc_channels: widths of fully connected layers between pooling and branches.
        **kwargs: as for :class:`MILBBoxHead`, except ``roi_feat_size``: the RoI grid may have any size.

    >>> head = PooledMILBBoxHead(num_classes=2, in_channels=8)
    >>> [tuple(logits.shape) for logits in head(torch.ones(5, 8, 7, 7))]
    [(5, 3), (5, 2)]
    """

    def __init__(self, num_classes: int, in_channels: int, fc_channels: tuple[int, ...] = (), **kwargs) -> None:
        super().__init__(num_classes, in_channels, roi_feat_size=1, fc_channels=fc_channels, **kwargs)

    def pooled(self, roi_feats: Tensor) -> Tensor:
        """Means over the grid of RoI features (R, D, p, p), float (R, D)."""
        return roi_feats.mean((2, 3))

    def grid_mass(self, roi_feats: Tensor, mass: Tensor) -> Tensor:
        """Mass on :meth:`first_input`, float (R, D), as maps of the RoI grid, float (R, p, p)."""
        return excite_average_pool(roi_feats, mass).sum(1)


@MODELS.register_module(name=['CentredNorm', 'CentredUnitNorm'])  # the second in configs of earlier checkpoints
class CentredNorm(nn.Module):
    """Subtract the running mean of all proposals, then normalise the features of every proposal to the same length.

    Features of a frozen backbone share a large uninformative component; without it, and with equal lengths, a linear head learns from the
    differences between proposals.

    Args:
        channels: length of a feature vector.
        length: Euclidean length of the result.
        momentum: momentum of the running mean, which is a plain average until 1 / momentum batches have been seen.
    """

    def __init__(self, channels: int, length: float = 10.0, momentum: float = 0.01) -> None:
        super().__init__()
        self.length, self.momentum = length, momentum
        self.register_buffer('mean', torch.zeros(channels))
        self.register_buffer('batches', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def learn(self, parts: Iterable[Tensor]) -> None:
        """Update the mean with a batch, given in parts, float (R, channels) each. Call it before :meth:`forward`."""
        total = self.mean.new_zeros(len(self.mean) + 1)
        for part in parts:
            total += torch.cat([part.float().sum(0), total.new_tensor([len(part)])])
        all_reduce(total)  # also on a rank without proposals, because the others wait for it
        if total[-1] > 0:
            self.batches += 1
            self.mean.lerp_(total[:-1] / total[-1], max(self.momentum, 1 / int(self.batches)))

    def forward(self, x: Tensor) -> Tensor:
        """Map float (R, channels) to float (R, channels). It has no learnt parameters, so it may be recomputed in the backward pass."""
        return self.length * F.normalize(x - self.mean, dim=1)

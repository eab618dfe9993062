"""A classification head on the mean of each RoI, whose excitation goes on from the mean to the places that made it.

Shapes: R proposals, C classes, D channels, (p, p) RoI grid.
"""

from torch import Tensor

from mmlabelpenet.calibration.conv_excitation import excite_average_pool
from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class PooledMILBBoxHead(MILBBoxHead):
    """Average pooling over the RoI grid, then the branches x^{c,1} and x^{p,1}.

    With a frozen tail that has seen whole objects on ImageNet and linear branches this is a class activation map for each proposal:
    few weights, so that few images teach them, and attention that spreads over the object instead of the part that tells it best.

    Args:
        num_classes: C.
        in_channels: D.
        fc_channels: widths of fully connected layers between pooling and branches.
        **kwargs: of :class:`MILBBoxHead`, but for ``roi_feat_size``: the RoI grid may have any size.

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

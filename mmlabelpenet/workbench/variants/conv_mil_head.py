"""A classification head that knows whole objects: the last layers of an ImageNet network on each RoI.

Shapes: R proposals, C classes, D channels of the shared map, E channels of the tail, (p, p) RoI grid.
"""

import torch
from torch import Tensor

from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants.conv_excitation import excite_pooled_layer


@MODELS.register_module()
class ConvMILBBoxHead(MILBBoxHead):
    """RoI crops through a ResNet's layer4 and average pooling, then the branches x^{c,1} and x^{p,1}.

    Proposal calibration continues through the tail to the RoI grid.

    Args:
        num_classes: C.
        tail: config of a :class:`~mmlabelpenet.models.backbones.ResNetC5` without pyramid; with ``stride=2, dilation=1`` and crops of
            14x14 it sees what it saw on ImageNet.
        fc_channels: widths of fully connected layers between pooling and branches.
        batch: so many RoIs at a time go through the tail in calibration, which bounds its memory.
        **kwargs: of :class:`MILBBoxHead`, but for ``in_channels`` and ``roi_feat_size``, which follow from the tail.

    Raises:
        ValueError: the tail has a pyramid or returns its input too.
    """

    def __init__(self, num_classes: int, tail: dict, fc_channels: tuple[int, ...] = (), batch: int = 64, **kwargs) -> None:
        built = MODELS.build(tail)
        if len(built.out_channels) != 1 or built.aspp is not None:
            raise ValueError('The RoI tail is the layer4 alone: leave aspp and with_input out of its config.')
        super().__init__(num_classes, built.out_channels[0], roi_feat_size=1, fc_channels=fc_channels, **kwargs)
        self.tail = built
        self.batch = batch

    def pooled(self, roi_feats: Tensor) -> Tensor:
        """Means of the tail's output on RoI features (R, D, p, p), float (R, E)."""
        return self.tail(roi_feats)[0].mean((2, 3))

    def grid_mass(self, roi_feats: Tensor, mass: Tensor) -> Tensor:
        """Mass on :meth:`first_input`, float (R, E), carried through the tail to the RoI grid, float (R, p, p)."""
        parts = zip(roi_feats.split(self.batch), mass.split(self.batch), strict=True)
        return torch.cat([excite_pooled_layer(self.tail.layer4, *part).sum(1) for part in parts])

"""A classification head that applies the last layers of an ImageNet network to each RoI.

Shapes: R proposals, C classes, D channels of the shared map, E channels of the tail, (p, p) RoI grid.
"""

import torch
from torch import Tensor

from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants.conv_excitation import excite_pooled_layer


@MODELS.register_module()
class ConvMILBBoxHead(MILBBoxHead):
    """A ResNet's layer4 and average pooling on RoI crops, then the branches x^{c,1} and x^{p,1}.

    Proposal calibration continues through the tail to the RoI grid.

    Args:
        num_classes: C.
        tail: config of a :class:`~mmlabelpenet.workbench.variants.resnet.ResNetC5` without ASPP; ``stride=2, dilation=1`` and crops of
            14x14 correspond to its training on ImageNet.
        fc_channels: widths of fully connected layers between pooling and branches.
        batch: number of RoIs processed by the tail at once in calibration, which bounds memory.
        **kwargs: as for :class:`MILBBoxHead`, except ``in_channels`` and ``roi_feat_size``, which follow from the tail.

    Raises:
        ValueError: the tail has ASPP or also returns its input.
    """

    def __init__(self, num_classes: int, tail: dict, fc_channels: tuple[int, ...] = (), batch: int = 64, **kwargs) -> None:
        built = MODELS.build(tail)
        if len(built.out_channels) != 1 or built.aspp is not None:
            raise ValueError('The RoI tail must be layer4 alone: remove aspp and with_input from its config.')
        super().__init__(num_classes, built.out_channels[0], roi_feat_size=1, fc_channels=fc_channels, **kwargs)
        self.tail = built
        self.batch = batch

    def pooled(self, roi_feats: Tensor) -> Tensor:
        """Means of the tail's output on RoI features (R, D, p, p), float (R, E)."""
        return self.tail(roi_feats)[0].mean((2, 3))

    def grid_mass(self, roi_feats: Tensor, mass: Tensor) -> Tensor:
        """Mass on :meth:`first_input`, float (R, E), propagated through the tail to the RoI grid, float (R, p, p)."""
        parts = zip(roi_feats.split(self.batch), mass.split(self.batch), strict=True)
        return torch.cat([excite_pooled_layer(self.tail.layer4, *part).sum(1) for part in parts])

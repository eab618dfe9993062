"""Other losses for multiple-instance learning (choices C1, C2).

Shapes: R proposals of one image, C classes.
"""

from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.models.mil_losses import MILSoftmaxLoss
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class MILSigmoidLoss(MILSoftmaxLoss):
    """Binary cross-entropy per class on the image scores of Eq. 1, another option for the multi-label target (choice C2).

    Args:
        loss_weight: multiplies the loss.
    """

    def forward(self, cls_logits: Tensor, weight_logits: Tensor, onehot: Tensor) -> Tensor:
        """Summed over classes; arguments as for :class:`MILSoftmaxLoss`."""
        image_scores = self.scores(cls_logits, weight_logits).sum(0)
        return self.loss_weight * F.binary_cross_entropy_with_logits(image_scores, onehot, reduction='sum')


@MODELS.register_module()
class WSDDNLoss(MILSoftmaxLoss):
    """Two softmaxes and a binary cross-entropy per class (Bilen and Vedaldi, CVPR 2016), the alternative of choice C2.

    Args:
        loss_weight: multiplies the loss.
    """

    @staticmethod
    def class_scores(cls_logits: Tensor) -> Tensor:
        """Softmax over classes, float (R, C) in [0, 1]."""
        return cls_logits.softmax(1)

    def forward(self, cls_logits: Tensor, weight_logits: Tensor, onehot: Tensor) -> Tensor:
        """Binary cross-entropy summed over classes; arguments as for :class:`MILSoftmaxLoss`."""
        image_scores = self.scores(cls_logits.float(), weight_logits.float()).sum(0).clamp(1e-6, 1 - 1e-6)
        # Written out because PyTorch rejects F.binary_cross_entropy in mixed precision on a GPU.
        return -self.loss_weight * (onehot * image_scores.log() + (1 - onehot) * (-image_scores).log1p()).sum()

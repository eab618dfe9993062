"""Maps of tags from an ImageNet classifier: what ImageNet sees at each place of the images with a tag.

The class activation map of a linear layer that learns tags from few images covers what distinguishes these tags. The ImageNet classifier of
the same frozen layers has seen a million images; which of its K classes belong to a tag c is learnt from tags alone:

    a^c_k = max(0, mean of p_k over images with c - mean of p_k over images without c)      p: softmax of z / T of a whole image
    map^c = Σ_k a^c_k p_k(x, y)                                                              p(x, y): the same of a place

where z are the logits of the classifier. A temperature T above 1 makes the maps wider.

Shapes: N images, C classes, K ImageNet classes, D channels, (H, W) map.
"""

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.registry import MODELS
from mmlabelpenet.schema import check_range


@MODELS.register_module()
class ImageNetMaps(BaseModule):
    """The classifier, frozen, and how often its classes occur with each tag.

    Args:
        num_classes: C.
        in_channels: D, the channels of the layers that ImageNet trained with this classifier.
        init_cfg: ``dict(type='ImageNetWeights', part='classifier', ...)``.
        num_imagenet_classes: K.
        temperature: T.

    Raises:
        ValueError: a temperature below 0.1.

    >>> maps = ImageNetMaps(num_classes=2, in_channels=8, init_cfg=None)
    >>> maps.learn(torch.ones(3, 8), torch.tensor([[1, 0], [0, 1], [1, 1]]))
    >>> maps(torch.ones(8, 5, 6)).shape
    torch.Size([2, 5, 6])
    """

    own_init = ('present', 'total', 'counts', 'images')

    def __init__(
        self, num_classes: int, in_channels: int, init_cfg: dict | None, num_imagenet_classes: int = 1000, temperature: float = 2.0
    ) -> None:
        super().__init__(init_cfg)
        check_range(0.1, temperature=temperature)
        self.temperature = temperature
        self.register_buffer('weight', torch.zeros(num_imagenet_classes, in_channels))
        self.register_buffer('bias', torch.zeros(num_imagenet_classes))
        self.register_buffer('present', torch.zeros(num_classes, num_imagenet_classes))
        self.register_buffer('total', torch.zeros(num_imagenet_classes))
        self.register_buffer('counts', torch.zeros(num_classes))
        self.register_buffer('images', torch.zeros(()))

    @torch.no_grad()
    def learn(self, means: Tensor, onehots: Tensor) -> None:
        """Add images to the statistics: mean features, float (N, D), and tags (N, C)."""
        probs, onehots = self._probs(means.float()), onehots.float()
        for statistic, batch in (
            (self.present, onehots.T @ probs),
            (self.total, probs.sum(0)),
            (self.counts, onehots.sum(0)),
            (self.images, onehots.new_tensor(float(len(onehots)))),
        ):
            all_reduce(batch)
            statistic += batch

    def affinities(self) -> Tensor:
        """a, float (C, K) >= 0, zero before any image has been learnt."""
        absent = (self.total - self.present) / (self.images - self.counts).clamp(min=1)[:, None]
        return (self.present / self.counts.clamp(min=1)[:, None] - absent).clamp(min=0)

    def forward(self, feature: Tensor) -> Tensor:
        """Maps (C, H, W) >= 0 of a feature (D, H, W)."""
        return (self.affinities() @ self._probs(feature.flatten(1).T).T).view(-1, *feature.shape[1:])

    def _probs(self, features: Tensor) -> Tensor:
        """p, float (n, K), of features (n, D)."""
        return (F.linear(features, self.weight, self.bias) / self.temperature).softmax(1)

"""A linear image classifier on ImageNet features, trained on tags only.

Shapes: N images, C classes, D channels, (h', w') feature map.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlabelpenet.registry import MODELS
from mmlabelpenet.schema import counted


@dataclass(frozen=True)
class ImageClassifier:
    """Logistic regression for each class on centred features.

    Attributes:
        weight: float (C, D).
        bias: float (C,).
        mean: mean of the training images' pooled features, float (D,).
        scale: mean length of the centred features.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def probs(self, pooled: Tensor) -> Tensor:
        """Probability of each class, float (N, C), from pooled features (N, D)."""
        return F.linear((pooled - self.mean) / self.scale, self.weight, self.bias).sigmoid()

    def activation_maps(self, feature: Tensor) -> Tensor:
        """Class activation maps, float (C, h', w'), of a feature map (D, h', w') (Zhou et al., CVPR 2016).

        Their spatial mean is the logit of :meth:`probs` without the bias.
        """
        return torch.einsum('cd,dhw->chw', self.weight, (feature - self.mean[:, None, None]) / self.scale)


def fit_image_classifier(pooled: Tensor, onehots: Tensor, l2: float = 1e-3, iterations: int = 200) -> ImageClassifier:
    """Minimise the binary cross-entropy, averaged over images and classes, plus ``l2`` / 2 times the squared weights.

    Args:
        pooled: features of the training images, float (N, D).
        onehots: their tags, float (N, C).
        l2: strength of the regularisation; features have a mean length of 1.

    Raises:
        ValueError: the numbers of rows of tags and features differ, or are 0.

    >>> classifier = fit_image_classifier(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]))
    >>> [round(p, 1) for p in classifier.probs(torch.tensor([[0.0], [1.0]])).flatten().tolist()]
    [0.0, 1.0]
    """
    if len(pooled) != len(onehots) or len(pooled) == 0:
        raise ValueError(
            f'Expected tags for each image, got {counted(len(pooled), "row")} of features and {counted(len(onehots), "row")} of tags.'
        )
    mean = pooled.mean(0)
    scale = (pooled - mean).norm(dim=1).mean().clamp(min=1e-6)
    x, y = ((pooled - mean) / scale).double(), onehots.double()
    weight = torch.zeros(y.shape[1], x.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(y.shape[1], dtype=torch.double, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn='strong_wolfe')

    def closure() -> Tensor:
        solver.zero_grad()
        objective = F.binary_cross_entropy_with_logits(F.linear(x, weight, bias), y) + l2 / 2 * weight.square().sum()
        objective.backward()
        return objective

    solver.step(closure)
    return ImageClassifier(weight.detach().float(), bias.detach().float(), mean, scale)


class FeatureMaps(nn.Module):
    """Backbone of a config, followed by the last layers of the ImageNet network if the backbone is initialised from it.

    Args:
        model: config of the whole network; ``data_preprocessor`` and ``backbone`` are read.
    """

    def __init__(self, model: Mapping) -> None:
        super().__init__()
        self.data_preprocessor = MODELS.build(model['data_preprocessor'])
        tail = imagenet_tail(model['backbone'])
        self.backbone = MODELS.build(model['backbone'])
        self.tail = None if tail is None else MODELS.build(tail)
        for part in (self.backbone, self.tail):
            if hasattr(part, 'init_weights'):
                part.init_weights()
        self.eval()

    @torch.no_grad()
    def forward(self, data: dict) -> Tensor:
        """The map of one image, float (D, h', w'), without padding.

        Args:
            data: a batch of one after ``data_preprocessor``.
        """
        feature = self.backbone(data['inputs'])[-1]
        feature = feature if self.tail is None else self.tail((feature,))[-1]
        (height, width), (h, w) = data['inputs'].shape[-2:], data['data_samples'][0].img_shape[:2]
        rows, columns = -(-h * feature.shape[2] // height), -(-w * feature.shape[3] // width)
        return feature[0, :, :rows, :columns]


def imagenet_tail(backbone: Mapping) -> dict | None:
    """Config of the layers after the shared backbone in the ImageNet network; None for other backbones.

    >>> weights = dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='backbone')
    >>> imagenet_tail(dict(type='VGG16C4', init_cfg=weights))['init_cfg']['part']
    'tail'
    """
    weights = backbone.get('init_cfg') or {}
    if not isinstance(weights, Mapping) or weights.get('type') != 'ImageNetWeights':
        return None
    stride = backbone.get('out_stride', 16)
    tails = {
        'VGG16C4': dict(type='VGG16Tail'),
        'ResNetC4': dict(type='ResNetC5', dilation=32 // stride, **{key: backbone[key] for key in ('depth', 'style') if key in backbone}),
        'EfficientNetLite0C4': dict(type='EfficientNetLite0Tail', stride=16 // stride, dilation=16 // stride),
    }
    tail = tails.get(backbone['type'])
    return tail and dict(tail, init_cfg=dict(weights, part='tail'))

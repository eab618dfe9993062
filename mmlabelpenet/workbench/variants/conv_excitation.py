"""Excitation backprop through the convolutions of a RoI tail, ResNet's layer4 followed by average pooling (not in the paper, which
stops at fully connected layers).

A convolution is a linear layer with shared weights, so the rule of :mod:`~mmlabelpenet.calibration.excitation` applies unchanged: with z =
W+ a, a convolution with the positive weights, the inputs get ``a * (W+^T (P / z))``, a transposed one. Other parts of a tail:

* Batch normalisation with fixed statistics scales each output: its factor is folded into W before negative weights are removed.
* The sum at the end of a block, conv3(h) + shortcut(x), is *one* linear layer on both inputs, z = W+ h + V+ x, where V is the projection
  or, for an identity shortcut, 1. All inputs are then outputs of a ReLU.
* Average pooling weights all places equally: a pooled neuron distributes its probability in proportion to the activations.

Biases and negative inputs excite nothing; the probability of neurons that no input excites is dropped.

Shapes: R proposals, D channels in, E channels out, (p, p) and (q, q) grids before and after the tail.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from mmdet.models.backbones.resnet import Bottleneck
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


def folded_weight(conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """Weight of a convolution and the following batch normalisation as one linear layer, float32 (E, D / groups, k, k).

    Raises:
        TypeError: the normalisation does not have fixed statistics.

    >>> conv, norm = nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2, eps=0)
    >>> norm.running_var.fill_(4), conv.weight.data.fill_(1.0)[0, 0, 0, 0]
    (tensor([4., 4.]), tensor(1.))
    >>> folded_weight(conv, norm).flatten().tolist()
    [0.5, 0.5]
    """
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or not norm.track_running_stats:
        raise TypeError(
            f'Excitation backprop folds batch normalisation with fixed statistics into convolutions, got {type(norm).__name__}.'
        )
    scale = (norm.running_var.float() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.float()
    return conv.weight.float() * scale[:, None, None, None]


class LinearStep(NamedTuple):
    """A convolution, without its bias, on non-negative inputs; ``conv`` None is the identity.

    Attributes:
        x: input, float (R, D, p, p); negative values count as zero.
        conv: defines stride, padding, dilation and groups.
        weight: float (E, D / groups, k, k); negative values count as zero.
    """

    x: Tensor
    conv: nn.Conv2d | None = None
    weight: Tensor | None = None

    def excitation(self) -> Tensor:
        """z = W+ a, float (R, E, q, q)."""
        x = self.x.float().clamp(min=0)
        return x if self.conv is None else F.conv2d(x, self.weight.clamp(min=0), None, *self._geometry())

    def passed(self, share: Tensor) -> Tensor:
        """a * (W+^T share), float (R, D, p, p), of a share (R, E, q, q) of probability per excitation."""
        x = self.x.float().clamp(min=0)
        back = share if self.conv is None else conv2d_input(x.shape, self.weight.clamp(min=0), share, *self._geometry())
        return x * back

    def _geometry(self) -> tuple:
        return self.conv.stride, self.conv.padding, self.conv.dilation, self.conv.groups


def excite(steps: list[LinearStep], probability: Tensor) -> list[Tensor]:
    """Propagate through the sum of several linear steps.

    Args:
        steps: linear steps whose outputs are added.
        probability: probability of the sum's neurons, float (R, E, q, q) >= 0.

    Returns:
        probability of each step's input; the total is that of the neurons that any input excites.

    >>> x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    >>> [part.flatten().tolist() for part in excite([LinearStep(x), LinearStep(x * 3)], torch.ones(1, 2, 1, 1))]
    [[0.25, 0.25], [0.75, 0.75]]
    """
    excitation = sum(step.excitation() for step in steps)
    share = torch.where(excitation > 0, probability / excitation, torch.zeros_like(excitation))
    return [step.passed(share) for step in steps]


def excite_bottleneck(block: Bottleneck, inputs: Mapping[nn.Module, Tensor], probability: Tensor) -> Tensor:
    """Propagate through one residual block.

    Args:
        block: a block of three convolutions, with or without a projection.
        inputs: inputs of its convolutions.
        probability: probability of its outputs, float (R, E, q, q).

    Returns:
        probability of its inputs, float (R, D, p, p).

    Raises:
        TypeError: another kind of block, or a projection with more than convolution and normalisation.
    """
    if not isinstance(block, Bottleneck) or block.with_plugins or (block.downsample is not None and len(block.downsample) != 2):
        raise TypeError(f'Excitation backprop goes through plain bottleneck blocks, got {type(block).__name__} of another build.')
    convs = (block.conv1, block.norm1), (block.conv2, block.norm2), (block.conv3, block.norm3)
    first, second, third = (LinearStep(inputs[conv], conv, folded_weight(conv, norm)) for conv, norm in convs)
    shortcut = LinearStep(first.x)
    if block.downsample is not None:
        shortcut = LinearStep(first.x, block.downsample[0], folded_weight(*block.downsample))
    hidden, direct = excite([third, shortcut], probability)
    for step in (second, first):
        (hidden,) = excite([step], hidden)
    return direct + hidden


def conv_inputs(layer: nn.Module, x: Tensor) -> tuple[dict[nn.Module, Tensor], Tensor]:
    """Run a layer; returns the inputs of its convolutions, and the output."""
    inputs: dict[nn.Module, Tensor] = {}
    convs = [module for module in layer.modules() if isinstance(module, nn.Conv2d)]
    handles = [conv.register_forward_pre_hook(lambda conv, args: inputs.update({conv: args[0]})) for conv in convs]
    try:
        return inputs, layer(x)
    finally:
        for handle in handles:
            handle.remove()


def excite_pooled_layer(layer: nn.Sequential, x: Tensor, probability: Tensor) -> Tensor:
    """Propagate from the spatial means of a layer's output to its input.

    Args:
        layer: a sequence of bottleneck blocks, such as ResNet's layer4.
        x: its input, float (R, D, p, p). Negative entries excite nothing.
        probability: probability of the pooled outputs, float (R, E) >= 0.

    Returns:
        float32 (R, D, p, p) >= 0; its sum is that of ``probability`` if every neuron is excited.
    """
    inputs, output = conv_inputs(layer, x)
    mass = excite_average_pool(output, probability.float())
    for block in reversed(layer):
        mass = excite_bottleneck(block, inputs, mass)
    return mass


def excite_average_pool(x: Tensor, probability: Tensor) -> Tensor:
    """Propagate probabilities (R, E) >= 0 of means to the averaged places (R, E, q, q).

    >>> excite_average_pool(torch.tensor([[[[1.0, 3.0]]]]), torch.ones(1, 1)).flatten().tolist()
    [0.25, 0.75]
    """
    x = x.float().clamp(min=0)
    total = x.sum((2, 3))
    share = torch.where(total > 0, probability / total, torch.zeros_like(total))
    return x * share[..., None, None]

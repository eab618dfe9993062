"""Excitation backprop through a stack of fully connected layers (paper Sec. 3.2, Fig. 2b; Zhang et al., ECCV 2016).

For one layer with inputs a_j >= 0 and weights w_ij, a winner neuron i distributes its probability over its inputs in proportion to their
contributions through positive weights:

    P(a_j) = sum_i P(a_j | a_i) P(a_i),      P(a_j | a_i) = a_j w+_ij / sum_j' a_j' w+_ij'        with w+ = max(w, 0)

Written for all neurons at once, with z = W+ a, that is ``a * (W+^T (P / z))``: one product forward, one transposed, per layer. So the maps
of all proposals need 2 L matrix products in a forward pass, without autograd. Each step preserves the total probability, except for neurons
without excited inputs (z = 0), whose share is dropped.

Shapes: R proposals, D_l width of layer l (D_0 = channels × p × p of the RoI grid), C classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROWS = 256  # rows of a weight matrix whose positive part is computed at a time: a copy of all of fc6 would take 0.4 GB


def excitation_backprop(inputs: Sequence[Tensor], weights: Sequence[Tensor], start: Tensor) -> Tensor:
    """Propagate probabilities from the last layer to the first layer's input.

    Args:
        inputs: input of each layer, float (R, D_{l-1}), first layer first. Negative entries are ignored.
        weights: of each layer, float (D_l, D_{l-1}).
        start: probability of the last layer's outputs, float (R, D_L) >= 0.

    Returns:
        float32 (R, D_0) >= 0; its sum over D_0 equals that of ``start``, without the share of neurons that have no excited input.

    >>> x, w = torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0], [2.0, -1.0]])
    >>> excitation_backprop([x], [w], start=torch.tensor([[0.8, 0.0]])).tolist()
    [[0.20000000298023224, 0.6000000238418579]]
    """
    if len(inputs) != len(weights):
        raise ValueError(f'Expected one input per layer, got {len(inputs)} inputs and {len(weights)} layers.')
    probability = start.float()
    for x, weight in zip(reversed(inputs), reversed(weights), strict=True):
        x = x.float().clamp(min=0)
        passed = torch.zeros_like(x)
        for rows, winners in zip(weight.split(_ROWS), probability.split(_ROWS, 1), strict=True):
            positive = rows.float().clamp(min=0)
            excitation = F.linear(x, positive)
            share = torch.where(excitation > 0, winners / excitation, torch.zeros_like(excitation))
            passed.addmm_(share, positive)
        probability = passed.mul_(x)
    return probability


@contextmanager
def recorded(layers: Sequence[nn.Linear]) -> Iterator[list[list[Tensor]]]:
    """Record the forward passes inside the block, in one list per layer: the inputs of all layers but the first, then the output of the
    last.

    The inputs of the first layer, RoI features, are not recorded: they are large and quickly pooled again.

    >>> layers = [nn.Linear(4, 3), nn.Linear(3, 2)]
    >>> with recorded(layers) as record:
    ...     logits = layers[1](layers[0](torch.zeros(5, 4)))
    >>> [tuple(tensor.shape) for (tensor,) in record]
    [(5, 3), (5, 2)]
    """
    record: list[list[Tensor]] = [[] for _ in layers]
    handles = [layer.register_forward_pre_hook(lambda _, args, into=into: into.append(args[0])) for layer, into in zip(layers[1:], record)]
    handles.append(layers[-1].register_forward_hook(lambda _, args, out: record[-1].append(out)))
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def proposal_attention(roi_feats: Tensor, bbox_head: nn.Module, labels: Tensor, activations: Sequence[Tensor]) -> Tensor:
    """Attention map A_i of each proposal, float (R, p, p) (choices C5, C9).

    The mass of a map is the probability of the class at which it starts.

    Args:
        roi_feats: float (R, D, p, p).
        bbox_head: with ``first_input``, ``linear_layers``, ``class_probs``, and ``grid_mass`` to get from the first input to the RoI grid.
        labels: start class of each proposal's excitation, int64 (R,).
        activations: of these proposals, recorded by :func:`recorded`, one tensor per layer.
    """
    *hidden, logits = activations
    probs = bbox_head.class_probs(logits).gather(1, labels[:, None])
    start = torch.zeros_like(logits).scatter_(1, labels[:, None], probs)  # class activation vectors a_i^{c,1}
    weights = [layer.weight for layer in bbox_head.linear_layers()]
    return bbox_head.grid_mass(roi_feats, excitation_backprop([bbox_head.first_input(roi_feats), *hidden], weights, start))

"""Compare attention maps of proposals with the matrix products they need, and with one autograd pass per proposal."""

from collections.abc import Iterator

import torch
from comparison import Comparison
from torch import Tensor

from mmlabelpenet.calibration.excitation import proposal_attention, recorded
from mmlabelpenet.models.weighted_heads import WeightedBBoxHead

PROPOSALS, CHANNELS, CELLS, WIDTH, CLASSES = 300, 512, 7, 4096, 20
SAMPLE = 6  # number of proposals for which autograd passes are measured


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """fc6, fc7 and the class layer of VGG-16; activations from scoring the proposals are given, as in calibration."""
    torch.manual_seed(0)
    head = WeightedBBoxHead(
        num_shared_fcs=2,
        in_channels=CHANNELS,
        fc_out_channels=WIDTH,
        roi_feat_size=CELLS,
        num_classes=CLASSES,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    )
    head = head.to(device).eval().requires_grad_(False)
    feats = torch.rand(PROPOSALS, CHANNELS, CELLS, CELLS, device=device)
    labels = torch.randint(CLASSES, (PROPOSALS,), device=device)
    layers = head.linear_layers()
    with recorded(layers) as record:
        head(feats)
    activations, positive = [values for (values,) in record], [layer.weight.clamp(min=0) for layer in layers]
    inputs = [head.first_input(feats), *activations[:-1]]

    def ours(count: int = PROPOSALS) -> None:
        proposal_attention(feats[:count], head, labels[:count], [values[:count] for values in activations])

    def products() -> None:
        for x, weight in zip(inputs, positive, strict=True):
            (x @ weight.T) @ weight

    shapes = f'{PROPOSALS} proposals x {CHANNELS} x {CELLS} x {CELLS}, {WIDTH}, {WIDTH}, {CLASSES} classes'
    yield Comparison('maps by bare products', {'attention maps': ours, 'products': products}, reach=1.2, shapes=shapes, runs=5)

    def one_by_one() -> None:
        for number in range(SAMPLE):
            autograd_map(feats[number : number + 1], head, int(labels[number]))

    yield Comparison(
        'one autograd pass per proposal by maps',
        {f'{SAMPLE} autograd passes': one_by_one, 'attention maps': ours},
        reach=10,
        at_least=True,
        ratio=lambda seconds: seconds[f'{SAMPLE} autograd passes'] / SAMPLE * PROPOSALS / seconds['attention maps'],
        shapes=f'{shapes}; {SAMPLE} passes measured, times {PROPOSALS // SAMPLE}',
        runs=3,
    )


def autograd_map(feats: Tensor, head: WeightedBBoxHead, label: int) -> Tensor:
    """Excitation backprop of one proposal with autograd, as usually implemented; float (p, p)."""
    first = feats.flatten(1).clone().requires_grad_()
    x = first
    for number, layer in enumerate(head.linear_layers()):
        x = _Excite.apply(x if number == 0 else x.relu(), layer.weight, layer.bias)
    start = torch.zeros_like(x)
    start[0, label] = x.detach().softmax(1)[0, label]
    (mass,) = torch.autograd.grad(x, first, start)
    return mass.view(feats.shape).sum(1)[0]


class _Excite(torch.autograd.Function):
    """A linear layer whose backward pass is excitation backprop."""

    @staticmethod
    def forward(ctx: object, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The layer."""
        ctx.save_for_backward(x, weight)
        return torch.nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: object, probability: Tensor) -> tuple[Tensor, None, None]:
        """P(a_j) of its inputs."""
        x, weight = ctx.saved_tensors
        x, positive = x.clamp(min=0), weight.clamp(min=0)
        excitation = x @ positive.T
        share = torch.where(excitation > 0, probability / excitation, torch.zeros_like(excitation))
        return x * (share @ positive), None, None

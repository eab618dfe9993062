"""Mean field of a fully connected CRF (Krähenbühl and Koltun, NIPS 2011) in PyTorch operations, on any device.

The labels x of an image's pixels have the probability::

    P(x) ~ exp(-sum_p u_p(x_p) + sum_(p < q) [x_p = x_q] sum_m w_m k_m(p, q))
    k_m(p, q) = n_p n_q exp(-|f_m(p) - f_m(q)|^2 / 2)

with unary energies u, and kernels of features f that are normalised from both sides, n_p^-2 = sum_q exp(...). Mean field approximates P by
independent pixels: starting from Q_p(l) ~ exp(-u_p(l)) on, Q_p(l) ~ exp(-u_p(l) + sum_m w_m sum_q k_m(p, q) Q_q(l)) is repeated. As in the
published code, q runs over all pixels, p included. The inner sum filters Q with a Gaussian, in linear time on the permutohedral lattice.

Shapes: P pixels of all images of a batch, L labels, d dimensions of a kernel's features f, (h, w) image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlabelpenet.ops.permutohedral import build_lattice


def mean_field(unary: Tensor, kernels: Sequence[tuple[Tensor, float]], iterations: int, image_of: Tensor | None = None) -> Tensor:
    """Probabilities Q of the labels of each pixel.

    Args:
        unary: energies u, float32 (P, L).
        kernels: features f_m, float32 (d, P), in standard deviations, and weight w_m of each kernel.
        iterations: number of iterations.
        image_of: int64 (P,), the image index of each pixel, for several images. Results are bit-identical to processing each image alone.

    Returns:
        float32 (P, L).

    >>> unary = torch.tensor([[0.0, 3.0], [0.0, 3.0], [1.0, 0.0]])
    >>> mean_field(unary, [(torch.zeros(2, 3), 5.0)], iterations=5).argmax(1).tolist()
    [0, 0, 0]
    """
    lattices = [build_lattice(features, image_of) for features, _ in kernels]
    norms = [lattice.filter(torch.ones_like(unary[:, :1])).add_(1e-20).rsqrt_() for lattice in lattices]
    probs = _softmax(-unary)
    for _ in range(iterations):
        energy = unary.clone()
        for lattice, norm, (_, weight) in zip(lattices, norms, kernels, strict=True):
            energy.sub_(lattice.filter(probs * norm).mul_(norm), alpha=weight)
        probs = _softmax(-energy)
    return probs


def positions(image: Tensor, deviation: float) -> Tensor:
    """Features of a smoothness kernel with a standard deviation in pixels, float32 (2, h * w): x and y in an image (h, w, ...).

    >>> positions(torch.zeros(1, 3), 2).tolist()
    [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]
    """
    rows, columns = (torch.arange(length, device=image.device) / deviation for length in image.shape[:2])
    return torch.stack(torch.meshgrid(columns, rows, indexing='xy')).flatten(1)


def positions_and_colours(image: Tensor, deviation: float, colour_deviation: float) -> Tensor:
    """Features of a colour kernel, float32 (5, h * w), in an RGB image (h, w, 3) with levels of 0..255; deviations in pixels and levels."""
    return torch.cat([positions(image, deviation), image.flatten(0, 1).T.float() / colour_deviation])


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over labels, float32 (P, L). With few labels, PyTorch's kernel over the last axis is several times slower."""
    return logits.T.softmax(0).T.contiguous()

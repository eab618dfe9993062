"""Gaussian filtering in several dimensions on the permutohedral lattice (Adams, Baek and Davis, Eurographics 2010), in PyTorch operations.

:meth:`Lattice.filter` approximates ``out_p = sum_q exp(-|f_p - f_q|^2 / 2) in_q`` over all pairs of points, up to a scale, in linear time:

* *Embed.* E maps a position f of d dimensions to the plane of d + 1 coordinates that sum to 0, scaled so that the filter has a standard
  deviation of 1. The lattice consists of the points of that plane whose coordinates are integers with one remainder r, the point's
  *colour*, when divided by d + 1. It cuts the plane into simplices with one vertex of each colour.
* *Find the simplex.* Let y be the nearest lattice point of colour 0 and z_0 <= ... <= z_d the sorted coordinates of (E f - y) / (d + 1).
  The vertex of colour r is y + r, less d + 1 in the r coordinates of smallest z. Its barycentric weight is z_r - z_(r-1), and
  1 + z_0 - z_d for colour 0.
* *Splat* values from points to the vertices around them, *blur* with (1/2, 1, 1/2) along each of the d + 1 axes of the lattice, *slice*
  values from vertices back to points. Splatting and slicing use barycentric weights.

Each sum adds the same terms in the same order for any number of points: results are reproducible and do not depend on the other images of a
batch.

Shapes: P points, d dimensions, M vertices, C channels. Coordinates of lattice points are stored as (coordinate - colour) / (d + 1).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.ops.sparse import SparseMatrix


@dataclass(frozen=True)
class Lattice:
    """The occupied vertices around a set of points; see :func:`build_lattice`.

    Attributes:
        splat: (M, runs) and (runs, P), whose product maps points to vertices; see :meth:`SparseMatrix.in_runs`.
        neighbours: int64 (d + 1, 2, M), the vertices before and after each vertex along each axis; M if there is none.
        slice: (P, M).
    """

    splat: tuple[SparseMatrix, SparseMatrix]
    neighbours: Tensor
    slice: SparseMatrix

    def filter(self, values: Tensor) -> Tensor:
        """Gaussian-weighted sums over all points.

        Args:
            values: float32 (P, C).

        Returns:
            float32 (P, C).
        """
        of_runs, of_points = self.splat
        table = F.pad(of_runs @ (of_points @ values), (0, 0, 0, 1))  # the last row, for neighbours that do not exist, stays 0
        for before, after in self.neighbours:
            table[:-1].add_(table.index_select(0, before).add_(table.index_select(0, after)), alpha=0.5)
        return self.slice @ table


def build_lattice(features: Tensor, groups: Tensor | None = None) -> Lattice:
    """Build the lattice around points, for any number of filter calls.

    Args:
        features: float32 (d, P), positions in units of the filter's standard deviation.
        groups: int64 (P,) >= 0; points of different groups (images) do not interact. None is one group.

    Raises:
        ValueError: the features extend so far that vertices cannot be numbered in 63 bits.

    >>> lattice = build_lattice(torch.tensor([[0.0, 0.1, 50.0]]))
    >>> [round(value, 1) for value in lattice.filter(torch.tensor([[1.0], [1.0], [5.0]])).flatten().tolist()]
    [1.6, 1.6, 3.8]
    """
    d = len(features)
    corner, order, barycentric = _simplices(_embed(features))
    keys, strides, size = _vertex_keys(corner, order, groups)
    keys, points = _sort(keys)
    is_first = torch.ones_like(keys, dtype=torch.bool)
    torch.ne(keys[:, 1:], keys[:, :-1], out=is_first[:, 1:])
    firsts = is_first.flatten().nonzero().flatten()
    vertices = is_first.flatten().cumsum(0, dtype=torch.int32).sub_(1).view_as(keys)
    offsets = F.pad(firsts, (0, 1), value=keys.numel()).int()
    splat = SparseMatrix(points.flatten().int(), offsets, barycentric.gather(1, points).flatten())
    columns = torch.empty_like(vertices).scatter_(1, points, vertices).T.flatten()
    weights = (barycentric / (1 + 2.0**-d)).T.flatten()  # scaled as the published implementations do
    offsets = torch.arange(0, keys.numel() + 1, d + 1, dtype=torch.int32, device=keys.device)
    neighbours = _neighbours(keys.flatten()[firsts], firsts // keys.shape[1], strides, size)
    return Lattice(splat.in_runs(), neighbours, SparseMatrix(columns, offsets, weights))


def _embed(features: Tensor) -> Tensor:
    """E f / (d + 1), float32 (d + 1, P)."""
    d = len(features)
    embedded = features.new_empty(d + 1, features.shape[1])
    total = torch.zeros_like(features[0])
    for j in range(d, 0, -1):
        scaled = features[j - 1] * (math.sqrt(2 / 3) / math.sqrt(j * (j + 1)))
        torch.sub(total, scaled, alpha=j, out=embedded[j])
        total += scaled
    embedded[0] = total
    return embedded


def _simplices(embedded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex of each point.

    Returns:
        corner, its vertex of colour 0, float32 (d + 1, P); order, int64 (d + 1, P), the place of each coordinate in z; barycentric weights
        by colour, float32 (d + 1, P).
    """
    d = len(embedded) - 1
    corner = embedded.round()
    rest = embedded - corner
    excess = corner.sum(0).to(torch.int8)  # rounding may leave the plane
    rank = excess.repeat(d + 1, 1)  # how many coordinates have a larger rest
    for i in range(d):
        for j in range(i + 1, d + 1):
            smaller = rest[i] < rest[j]
            rank[i] += smaller
            rank[j] += ~smaller
    step = (rank < 0).to(torch.int8) - (rank > d).to(torch.int8)  # move it back at the lowest cost
    corner += step
    rest -= step
    order = (d - rank - (d + 1) * step).long()
    z = torch.empty_like(rest).scatter_(0, order, rest)
    barycentric = torch.empty_like(z)
    torch.sub(z[1:], z[:-1], out=barycentric[1:])
    torch.sub(z[0] + 1, z[d], out=barycentric[0])
    return corner, order, barycentric


def _vertex_keys(corner: Tensor, order: Tensor, groups: Tensor | None) -> tuple[Tensor, list[int], int]:
    """Number the vertices of all simplices.

    Returns:
        int64 (d + 1, P), equal for vertices of one colour that are the same; what a step in each of the d + 1 coordinates adds to such a
        key (nothing in the last coordinate, which follows from the others); and a number above all keys.
    """
    corner = corner[:-1]
    low = corner.amin(1).sub_(2)  # a vertex lies at most one step below its corner, a neighbour one more
    spans = (corner.amax(1) - low + 2).long().tolist()
    strides = [*(math.prod(spans[:i]) for i in range(len(spans))), 0]
    size = math.prod(spans) * (1 if groups is None else int(groups.max()) + 1)
    if size * len(order) * order.shape[1] >= 2**62:
        raise ValueError(
            f'The standard deviations of a filter are too small: its points extend over {spans} steps of the lattice. '
            'Use larger ones, or fewer images at a time.'
        )
    keys = torch.empty_like(order)
    torch.sum((corner - low[:, None]).long() * keys.new_tensor(strides[:-1])[:, None], 0, out=keys[0])
    if groups is not None:
        keys[0].add_(groups, alpha=math.prod(spans))
    steps = keys.new_tensor(strides)[:, None].expand_as(order)
    lowered = torch.empty_like(order).scatter_(0, order, steps)
    for colour in range(1, len(order)):
        torch.sub(keys[colour - 1], lowered[colour - 1], out=keys[colour])
    return keys, strides, size


def _sort(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in ascending order, and the indices, int64; a stable sort."""
    if keys.device.type != 'cpu':
        return torch.sort(keys, stable=True)
    bits = keys.shape[1].bit_length()
    packed = (keys << bits) | torch.arange(keys.shape[1])
    packed = torch.from_numpy(np.sort(packed.numpy()))  # vectorised, six times as fast as torch's sort with indices
    return packed >> bits, packed & ((1 << bits) - 1)


def _neighbours(keys: Tensor, colours: Tensor, strides: list[int], size: int) -> Tensor:
    """See :class:`Lattice`. From a vertex to the one before along axis j, all coordinates decrease by 1, and coordinate j grows by d + 1.

    Args:
        keys: int64 (M,), ascending within each colour.
        colours: int64 (M,), ascending.
        strides, size: of :func:`_vertex_keys`.
    """
    d, count = len(strides) - 1, len(keys)
    keys = keys + colours * size
    # The decrease by 1 only changes the colour, but from colour 0 it leads to colour d and subtracts 1 from all stored coordinates.
    before = keys - torch.where(colours > 0, size, sum(strides) - d * size)
    neighbours = torch.full((len(strides), 2, count), count, device=keys.device)
    for axis, stride in enumerate(strides):
        place = torch.searchsorted(keys, before + stride).clamp_(max=count - 1)
        found = (keys[place] == before + stride).nonzero().flatten()
        neighbours[axis, 0, found] = place[found]
        neighbours[axis, 1, place[found]] = found
    return neighbours

"""Deterministic products of sparse and dense matrices, with a fixed order of summation."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class SparseMatrix:
    """A sparse float32 matrix in row format, on CPU or CUDA; the entries of row i are ``offsets[i]:offsets[i + 1]``.

    Attributes:
        columns: int32 (E,), column of each entry.
        offsets: int32 (rows + 1,).
        weights: float32 (E,), the entries.
    """

    columns: Tensor
    offsets: Tensor
    weights: Tensor

    @classmethod
    def from_dense(cls, dense: Tensor) -> 'SparseMatrix':
        """Build from the nonzero entries of a dense matrix.

        >>> (SparseMatrix.from_dense(torch.tensor([[0.0, 1.0], [2.0, 3.0]])) @ torch.tensor([[1.0], [10.0]])).tolist()
        [[10.0], [32.0]]
        """
        rows, columns = dense.nonzero(as_tuple=True)
        offsets = F.pad((dense != 0).sum(1).cumsum(0), (1, 0))
        return cls(columns.int(), offsets.int(), dense[rows, columns])

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product, float32 (rows, C); the terms of a row are added sequentially, independent of other rows."""
        return F.embedding_bag(self.columns, dense, self.offsets, mode='sum', per_sample_weights=self.weights, include_last_offset=True)

    def in_runs(self, longest: int = 64) -> tuple['SparseMatrix', 'SparseMatrix']:
        """Factor into two matrices without long rows: the second sums runs of a row's entries, the first sums these runs.

        On CUDA, one thread sums a row, so a few very long rows would delay all others.

        >>> whole = SparseMatrix.from_dense(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 4.0]]))
        >>> of_runs, of_entries = whole.in_runs(longest=2)
        >>> (of_entries @ torch.eye(3)).tolist()
        [[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 4.0]]
        >>> torch.equal(of_runs @ (of_entries @ torch.eye(3)), whole @ torch.eye(3))
        True
        """
        runs = (self.offsets.diff() + longest - 1) // longest
        first = F.pad(runs.cumsum(0, dtype=torch.int32), (1, 0))
        row = torch.repeat_interleave(runs)
        run = torch.arange(len(row), dtype=torch.int32, device=row.device)
        offsets = torch.cat([self.offsets[row] + longest * (run - first[row]), self.offsets[-1:]])
        return SparseMatrix(run, first, torch.ones_like(self.weights[: len(run)])), SparseMatrix(self.columns, offsets, self.weights)


def resize(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize by area averaging along axes that shrink and linear interpolation along axes that grow, like OpenCV, on any device.

    Args:
        values: float32 (h, w, C).
        size: (h', w').

    Returns:
        float32 (h', w', C).

    >>> resize(torch.tensor([0.0, 3.0, 6.0, 9.0]).view(1, 4, 1), (2, 2)).flatten(1).tolist()
    [[1.5, 7.5], [1.5, 7.5]]
    """
    for after in size:
        if after != len(values):
            matrix = SparseMatrix.from_dense(_resampling(len(values), after, values.device))
            values = (matrix @ values.flatten(1).contiguous()).view(after, *values.shape[1:])
        values = values.transpose(0, 1)
    return values


def _resampling(before: int, after: int, device: torch.device) -> Tensor:
    """How much each of ``before`` cells adds to each of ``after``, float32 (after, before)."""
    cells, new = (torch.arange(count, dtype=torch.float64, device=device) for count in (before, after))
    scale = before / after
    if after < before:
        ends = torch.minimum((new[:, None] + 1) * scale, cells + 1)
        return ((ends - torch.maximum(new[:, None] * scale, cells)).clamp(min=0) / scale).float()
    centres = ((new + 0.5) * scale - 0.5).clamp(0, before - 1)
    return (1 - (centres[:, None] - cells).abs()).clamp(min=0).float()

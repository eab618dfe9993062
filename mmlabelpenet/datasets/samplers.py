"""Resumable sampling: the k-th draw of a run depends only on the seed and k."""

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mmlabelpenet.registry import DATA_SAMPLERS


class Draw(NamedTuple):
    """One draw: the image index and the seed of its augmentation."""

    index: int
    seed: int


def seed_all(seed: int) -> None:
    """Seed the random generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Infinite shuffled sampling, distributed over the ranks batch by batch.

    Every pass over the data is one permutation. Batch n of rank r of W is batch n·W + r of a single rank, so one rank that accumulates W
    batches sees the same batches as W ranks. :meth:`begin` skips ahead without loading anything.

    Args:
        dataset: anything with a length above 0.
        seed: seed of permutations and augmentations; None uses a random one shared by all ranks.
        batch_size: batch size of one rank, until :meth:`begin` sets the data loader's.

    >>> full, resumed = ResumableSampler(range(5), seed=1), ResumableSampler(range(5), seed=1)
    >>> resumed.begin(7, batch_size=1)
    >>> from itertools import islice
    >>> list(islice(full, 9))[7:] == list(islice(resumed, 2))
    True
    """

    def __init__(self, dataset: Dataset, seed: int | None = None, batch_size: int = 1) -> None:
        if len(dataset) == 0:
            raise ValueError('Nothing to sample: the data set has no image with a tag.')
        self.size = len(dataset)
        self.seed = sync_random_seed() if seed is None else seed
        self.batch_size = batch_size
        self.rank, self.world_size = get_dist_info()
        self.start = 0

    def begin(self, batch: int, batch_size: int) -> None:
        """Make the next iteration start at a batch of this rank, counted from 0, for a data loader with this batch size."""
        self.batch_size, self.start = batch_size, batch * batch_size

    def __iter__(self) -> Iterator[Draw]:
        current, order = -1, np.arange(0)
        for number in itertools.count(self.start):
            batch, place = divmod(number, self.batch_size)
            position = (batch * self.world_size + self.rank) * self.batch_size + place
            epoch, place = divmod(position, self.size)
            if epoch != current:
                current, order = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.size)
            yield Draw(int(order[place]), int(np.random.SeedSequence((self.seed, position)).generate_state(1)[0]))

    def __len__(self) -> int:
        return self.size

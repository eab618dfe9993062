"""Draws that can be resumed anywhere: the k-th draw of a run is a function of the seed and k alone."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mmlabelpenet.registry import DATA_SAMPLERS


class Draw(NamedTuple):
    """One draw: which image, and the seed of its augmentation."""

    index: int
    seed: int


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Endless shuffled draws, shared out over the ranks in turn.

    Every pass over the data is one permutation. With B images per batch and rank and W ranks the union of what all ranks draw in
    an iteration depends on B·W only. ``skip`` jumps without loading anything.

    Args:
        dataset: anything with a length.
        seed: of permutations and augmentations; None takes one that all ranks agree on.

    Raises:
        ValueError: the data set is empty.

    >>> full, resumed = ResumableSampler(range(5), seed=1), ResumableSampler(range(5), seed=1)
    >>> resumed.skip(7)
    >>> from itertools import islice
    >>> list(islice(full, 9))[7:] == list(islice(resumed, 2))
    True
    """

    def __init__(self, dataset: Dataset, seed: int | None = None) -> None:
        if len(dataset) == 0:
            raise ValueError('There is nothing to draw from: the data set has no image with a tag.')
        self.size = len(dataset)
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.start = 0

    def skip(self, num_samples: int) -> None:
        """Leave out the next ``num_samples`` draws of this rank."""
        self.start += num_samples

    def __iter__(self) -> Iterator[Draw]:
        position, current, order = self.start * self.world_size + self.rank, -1, np.arange(0)
        while True:
            epoch, place = divmod(position, self.size)
            if epoch != current:
                current, order = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.size)
            yield Draw(int(order[place]), int(np.random.SeedSequence((self.seed, position)).generate_state(1)[0]))
            position += self.world_size

    def __len__(self) -> int:
        return self.size

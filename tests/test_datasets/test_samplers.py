"""Resumable sampling."""

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch

from mmlabelpenet.datasets import samplers
from mmlabelpenet.datasets.samplers import ResumableSampler, seed_all


def draws(count, size=7, seed=3, rank=0, world=1, skip=0, batch_size=1, monkeypatch=None):
    if monkeypatch:
        monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world))
    sampler = ResumableSampler(range(size), seed=seed)
    sampler.begin(skip, batch_size)
    return list(islice(sampler, count))


def test_every_pass_is_a_permutation():
    indices = [draw.index for draw in draws(21)]
    passes = [indices[i : i + 7] for i in (0, 7, 14)]
    assert all(sorted(p) == list(range(7)) for p in passes)
    assert len({tuple(p) for p in passes}) == 3


@pytest.mark.parametrize('skip', [0, 1, 6, 7, 8, 20])
def test_skipping_goes_on_where_an_uninterrupted_run_would_be(skip):
    assert draws(10, skip=skip) == draws(10 + skip)[skip:]


def test_every_draw_has_its_own_augmentation_seed():
    seeds = [draw.seed for draw in draws(200)]
    assert len(set(seeds)) == 200 and all(0 <= seed < 2**32 for seed in seeds)


def test_the_seed_decides_everything():
    assert draws(10) == draws(10) != draws(10, seed=4)


@pytest.mark.parametrize('world', [2, 3])
def test_all_ranks_together_draw_what_one_rank_draws(world, monkeypatch):
    alone = draws(12)
    shared = [draws(12 // world, rank=rank, world=world, monkeypatch=monkeypatch) for rank in range(world)]
    assert [shared[k % world][k // world] for k in range(12)] == alone
    assert Counter(d.index for part in shared for d in part) == Counter(d.index for d in alone)


@pytest.mark.parametrize('world', [1, 2])
def test_ranks_take_turns_by_batches_and_resume_behind_those_of_all(world, monkeypatch):
    alone, size = draws(36), 3
    batches = [alone[k : k + size] for k in range(0, len(alone), size)]
    for rank in range(world):
        of_rank = draws(2 * size, rank=rank, world=world, skip=4, batch_size=size, monkeypatch=monkeypatch)
        assert of_rank == batches[4 * world + rank] + batches[5 * world + rank]


def test_ranks_agree_on_a_seed_where_none_is_given(monkeypatch):
    monkeypatch.setattr(samplers, 'sync_random_seed', lambda: 5)
    assert [ResumableSampler(range(3), seed).seed for seed in (None, 0)] == [5, 0]


def test_a_rank_resumes_its_own_draws(monkeypatch):
    whole = draws(9, rank=1, world=2, monkeypatch=monkeypatch)
    assert draws(5, rank=1, world=2, skip=4, monkeypatch=monkeypatch) == whole[4:]


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match='no image with a tag'):
        ResumableSampler([])


def test_its_length_is_that_of_the_data_set():
    assert len(ResumableSampler(range(5), seed=0)) == 5


def test_accumulating_batches_on_one_rank_sees_the_batches_of_several_ranks(monkeypatch):
    def batches(count, rank, world):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world))
        items = list(islice(ResumableSampler(range(7), seed=3, batch_size=3), 3 * count))
        return [items[i : i + 3] for i in range(0, 3 * count, 3)]

    alone, shared = batches(4, 0, 1), [batches(2, rank, 2) for rank in range(2)]
    assert [shared[rank][n] for n in range(2) for rank in range(2)] == alone


def test_a_seed_sets_all_three_generators():
    found = []
    for seed in (3, 3, 4):
        seed_all(seed)
        found.append((random.random(), np.random.random(), torch.rand(1).item()))
    assert found[0] == found[1] and all(one != other for one, other in zip(*found[1:], strict=True))

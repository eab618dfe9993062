"""The permutohedral lattice, compared with a dictionary-based one and with exact Gaussians."""

import itertools

import numpy as np
import pytest
import torch

from mmlabelpenet.ops.permutohedral import build_lattice


def random_points(d, count=60, reach=3.0, seed=0, channels=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(d, count, generator=generator) * reach, torch.rand(count, channels, generator=generator)


def slow_filter(features, values):
    """One point and one vertex after the other; barycentric weights as the solution of linear equations."""
    d = len(features)
    basis = np.array([[1.0 if row <= column else -row if row == column + 1 else 0 for column in range(d)] for row in range(d + 1)])
    basis = basis / np.linalg.norm(basis, axis=0) * (d + 1) * np.sqrt(2 / 3)
    table, around = {}, []
    for point, value in zip(features.T.double().numpy(), values.double().numpy(), strict=True):
        corners = simplex(basis @ point)
        weights = np.linalg.lstsq(np.vstack([np.array(corners).T, np.ones(d + 1)]), np.append(basis @ point, 1), rcond=None)[0]
        around.append((corners, weights))
        for corner, weight in zip(corners, weights, strict=True):
            table[corner] = table.get(corner, 0) + weight * value
    for axis in range(d + 1):
        step = np.ones(d + 1, int)
        step[axis] -= d + 1
        table = {corner: table[corner] + 0.5 * sum(table.get(tuple(corner + sign * step), 0) for sign in (1, -1)) for corner in table}
    sliced = [sum(weight * table[corner] for corner, weight in zip(*pair, strict=True)) for pair in around]
    return torch.from_numpy(np.stack(sliced) / (1 + 2.0**-d)).float()


def simplex(place):
    """The d + 1 vertices around a place on the plane, one of each colour."""
    d = len(place) - 1
    corner = np.round(place / (d + 1)).astype(int) * (d + 1)
    while corner.sum() != 0:
        rest = place - corner
        corner[rest.argmin() if corner.sum() > 0 else rest.argmax()] -= np.sign(corner.sum()) * (d + 1)
    order = np.argsort(place - corner)
    vertices = [corner + colour for colour in range(d + 1)]
    for colour in range(d + 1):
        vertices[colour][order[:colour]] -= d + 1
    return [tuple(vertex) for vertex in vertices]


@pytest.mark.parametrize(('d', 'reach'), [*itertools.product([1, 2, 3, 5], [0.5, 3.0, 20.0])])
def test_it_equals_a_slow_lattice_of_dictionaries(d, reach):
    features, values = random_points(d, reach=reach)
    torch.testing.assert_close(build_lattice(features - reach / 2).filter(values), slow_filter(features - reach / 2, values))


@pytest.mark.parametrize('d', [2, 5])
def test_with_weights_that_sum_to_one_it_is_close_to_an_exact_gaussian(d):
    features, values = random_points(d, count=3000, reach=2.0)
    lattice, exact = build_lattice(features), torch.exp(-(torch.cdist(features.T, features.T) ** 2) / 2)
    ours = lattice.filter(values) / lattice.filter(torch.ones(3000, 1))
    assert (ours - exact @ values / exact.sum(1, keepdim=True)).abs().max() < 0.04
    assert values.std() > 0.25


def test_points_of_different_groups_do_not_see_each_other_and_get_the_same_bits_as_alone():
    sets = [random_points(5, count, reach, seed) for seed, (count, reach) in enumerate([(500, 2.0), (1, 0.0), (300, 9.0)])]
    groups = torch.arange(3).repeat_interleave(torch.tensor([500, 1, 300]))
    together = build_lattice(torch.cat([features for features, _ in sets], 1), groups).filter(torch.cat([values for _, values in sets]))
    for (features, values), result in zip(sets, together.split([500, 1, 300]), strict=True):
        assert torch.equal(build_lattice(features).filter(values), result)


def test_bits_do_not_depend_on_the_number_of_threads():
    features, values = random_points(5, count=50_000, reach=8.0)
    alone = build_lattice(features).filter(values)
    torch.set_num_threads(2)
    try:
        assert torch.equal(build_lattice(features).filter(values), alone)
    finally:
        torch.set_num_threads(1)


def test_many_points_in_one_place_are_summed():
    one, many = (build_lattice(torch.full((2, count), 0.3)).filter(torch.ones(count, 1)) for count in (1, 5000))
    torch.testing.assert_close(many, 5000 * one.expand(5000, 1))


def test_entries_are_numbered_in_32_bits():
    lattice = build_lattice(random_points(5, reach=3)[0])
    assert {each.dtype for matrix in (*lattice.splat, lattice.slice) for each in (matrix.columns, matrix.offsets)} == {torch.int32}


def test_a_filter_whose_vertices_cannot_be_numbered_is_refused():
    features, _ = random_points(5, reach=1e5)
    with pytest.raises(ValueError, match='standard deviations of a filter are too small'):
        build_lattice(features)
    far = torch.tensor([[0.0, 2.0**60]])  # as far as 63 bits reach
    torch.testing.assert_close(build_lattice(far).filter(torch.tensor([[1.0], [3.0]])), torch.tensor([[5 / 6], [5 / 2]]))
    with pytest.raises(ValueError, match='standard deviations of a filter are too small'):
        build_lattice(2 * far)

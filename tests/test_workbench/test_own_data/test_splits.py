import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlabelpenet.workbench.own_data.splits import stratified_split

LABELS = st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=40)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.floats(0, 0.9))
def test_every_tagged_image_is_in_exactly_one_part(labels, share):
    first, second = stratified_split(labels, share)
    assert sorted(first + second) == [index for index, found in enumerate(labels) if found]


@pytest.mark.parametrize('seed', range(5))
def test_each_class_is_divided_by_the_share(seed):
    rng = np.random.default_rng(seed)
    labels = [sorted(set(rng.choice(6, size=rng.integers(1, 4), p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]).tolist())) for _ in range(400)]
    first, second = stratified_split(labels, 0.2, seed)
    for label in range(6):
        counts = [sum(label in labels[index] for index in part) for part in (first, second)]
        assert abs(counts[1] / sum(counts) - 0.2) < 0.06, (label, counts)


def test_a_class_with_one_image_can_be_learnt():
    labels = [[0]] * 10 + [[1]]
    assert 10 in stratified_split(labels, 0.3)[0]


def test_the_seed_decides():
    labels = [[k % 3] for k in range(60)]
    assert stratified_split(labels, 0.2, 1) == stratified_split(labels, 0.2, 1) != stratified_split(labels, 0.2, 2)


def test_nothing_is_set_aside_with_a_share_of_nought():
    assert stratified_split([[0], [1], []], 0.0) == ([0, 1], [])


@pytest.mark.parametrize('share', [-0.1, 1.0])
def test_a_share_outside_is_an_error(share):
    with pytest.raises(ValueError, match=rf'^test_share must be in \[0, 1\), got {share}\.$'):
        stratified_split([[0]], share, name='test_share')

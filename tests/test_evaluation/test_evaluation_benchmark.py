"""The compared variants give equal results on a smaller version of the timed data."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'


@pytest.fixture(scope='module')
def suite():
    sys.path.insert(0, str(TOOLS))
    spec = importlib.util.spec_from_file_location('benchmark_evaluation', TOOLS / 'benchmarks' / 'evaluation.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(TOOLS))


@pytest.mark.parametrize('kind', ['box', 'mask'])
def test_both_sides_give_the_same_precision(suite, kind):
    comparison = getattr(suite, f'{kind}_comparison')(images=12, runs=1)
    theirs, ours = (variant() for variant in comparison.variants.values())
    ours = ours['segm_mAP_50_coco101'] if kind == 'mask' else ours
    np.testing.assert_allclose(theirs, np.nan_to_num(ours) if kind == 'box' else ours, atol=1e-5)
    assert 0 < np.nanmean(ours) < 0.95
    assert comparison.at_least and comparison.reach == {'box': 5, 'mask': 1}[kind]


def test_no_two_scores_are_equal_so_that_no_order_of_ties_decides(suite):
    found, _ = suite.random_boxes(suite.BOX_IMAGES)
    assert len(np.unique(found.scores)) == len(found.scores) == suite.BOX_IMAGES * suite.DETECTIONS


def test_what_differs_is_not_timed(suite):
    with pytest.raises(RuntimeError, match='differs from that of other'):
        suite.compare('other', np.array([0.5, np.nan]), np.array([0.5, 0.4]), 1e-5)

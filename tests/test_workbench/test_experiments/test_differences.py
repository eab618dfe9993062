"""Comparison of configs with a base."""

import json
import statistics
from pathlib import Path

import pytest

from mmlabelpenet.workbench.experiments.collect import Result
from mmlabelpenet.workbench.experiments.differences import LAST, compare_configs, comparison_markdown


def result(name, seed, values, **about):
    """Results of a run: ``values`` are the mIoU of its stages, in order."""
    stages = ('classification', 'detection', 'refinement', 'segmentation')
    table = {stage: {'mIoU': value, 'per_class': {}} for stage, value in zip(stages, values)}
    measured = dict(protocol='test', data='VOC2012', split='val', images=5, images_in_split=5) | about
    meta = dict(config=f'configs/{name}.py', recipe_sha256=name, seed=seed, checkpoint='iter_7.pth', commit='c', test=measured)
    return Result(Path(f'{name}{seed}/metrics.json'), table, meta)


def compare(metrics=('mIoU',), **results):
    return compare_configs({name: [result(name, *run) for run in runs] for name, runs in results.items()}, 'base', metrics)


def entry(comparison, name):
    return next(found for found in comparison['configs'] if found['name'] == name)


def test_differences_are_taken_seed_by_seed():
    base, other = {0: 50.0, 1: 60.0, 2: 55.0}, {0: 53.0, 1: 61.0, 2: 60.0}
    found = compare(other=[(k, [v]) for k, v in other.items()], base=[(k, [v]) for k, v in base.items()])
    values = [other[k] - base[k] for k in base]
    change = entry(found, 'other')['stages']['classification']['mIoU']['difference']
    assert change['mean'] == pytest.approx(statistics.fmean(values)) and change['std'] == pytest.approx(statistics.stdev(values))
    assert change['values'] == {'0': 3.0, '1': 1.0, '2': 5.0} and change['paired'] and change['count'] == 3
    assert [e['name'] for e in found['configs']] == ['base', 'other'] and json.loads(json.dumps(found)) == found


def test_only_seeds_that_both_have_count_for_the_difference():
    found = compare(base=[(0, [50.0]), (1, [60.0])], other=[(1, [61.0]), (2, [90.0])])
    row = entry(found, 'other')['stages']['classification']['mIoU']
    assert row['difference'] == dict(mean=1.0, std=None, count=1, paired=True, values={'1': 1.0}) and row['mean'] == 75.5


def test_without_a_common_seed_means_are_compared_and_the_page_says_so():
    found = compare(base=[(0, [50.0])], other=[(1, [60.0])])
    assert entry(found, 'other')['stages']['classification']['mIoU']['difference'] == dict(
        mean=10.0, std=None, count=0, paired=False, values={}
    )
    assert 'Without a common seed, difference of means: other.' in comparison_markdown(found)


def test_a_shorter_cascade_is_compared_by_its_last_stage_and_by_the_same_stage():
    found = entry(compare(base=[(0, [10.0, 20.0, 30.0, 40.0])], other=[(0, [12.0, 25.0])]), 'other')
    assert found['last'] == 'detection' and found['stages'][LAST]['mIoU']['difference']['mean'] == -15.0
    assert found['stages']['detection']['mIoU']['difference']['mean'] == 5.0 and 'segmentation' not in found['stages']


def test_what_was_measured_on_other_images_is_not_compared():
    results = dict(base=[result('base', 0, [50.0])], other=[result('other', 0, [60.0], split='test')])
    found = compare_configs(results, 'base', ['mIoU'])
    assert entry(found, 'other')['stages']['classification']['mIoU']['difference'] is None
    assert 'Measured on other images than the base, so not compared: other.' in comparison_markdown(found)


def test_metrics_that_a_config_lacks_are_a_dash():
    page = comparison_markdown(compare(metrics=['mIoU', 'CorLoc_50'], base=[(0, [50.0])], other=[(0, [51.0])]))
    assert '| other | classification | 0 | 51.0 (+1.0) | - |' in page.splitlines()


def test_the_page_has_the_last_stage_first_then_every_stage():
    page = comparison_markdown(compare(base=[(0, [10.0, 20.0]), (1, [12.0, 24.0])], other=[(0, [11.0, 19.0]), (1, [14.0, 20.0])]))
    assert [line for line in page.splitlines() if line.startswith('#')] == [
        '# base and its variants',
        '## Last stage',
        '## Stage classification',
        '## Stage detection',
    ]
    lines = page.splitlines()
    assert '| base | detection | 0, 1 | 22.0 ± 2.8 |' in lines and '| other | detection | 0, 1 | 19.5 ± 0.7 (-2.5 ± 2.1) |' in lines
    assert 'split VOC2012/val' in page


def test_configs_without_results_are_left_out_and_a_base_without_is_refused():
    assert [e['name'] for e in compare(base=[(0, [1.0])], other=[])['configs']] == ['base']
    with pytest.raises(ValueError, match='The base base has no result to compare with; available: other.'):
        compare(base=[], other=[(0, [1.0])])


def test_results_of_two_experiments_under_one_name_are_refused():
    results = dict(base=[result('base', 0, [1.0]), result('else', 1, [1.0])])
    with pytest.raises(ValueError, match='Results of base belong to 2 experiments'):
        compare_configs(results, 'base')

"""Compare configs with a base: mean ± standard deviation over seeds, and the difference from the base, seed by seed.

A *comparison* is a dict that can be stored as JSON::

    {'base': name, 'metrics': [metric, ...],
     'configs': [{'name', 'config', 'seeds', 'last', 'caption', 'comparable',
                  'stages': {stage: {metric: {'mean', 'std', 'count', 'difference'}}}}]}

Values are percent; a difference is None or ``{'mean', 'std', 'count', 'paired', 'values'}`` in percentage points. ``stages['last']``
compares the last stage of a config with the last stage of the base, whatever their names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmlabelpenet.evaluation.table import markdown
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.experiments.collect import Group, Result, Spread, group_results, spread

METRICS = ('bbox_mAP_50_area', 'CorLoc_50', 'segm_mAP_50_area', 'segm_mAP_75_area', 'mIoU')
LAST = 'last'


def compare_configs(results: Mapping[str, Sequence[Result]], base: str, metrics: Sequence[str] = METRICS) -> dict[str, Any]:
    """Compare configs with a base.

    Args:
        results: results by config name, one per seed.

    Returns:
        a comparison, starting with the base.

    Raises:
        ValueError: the base has no result, or results of one config do not form one group.
    """
    groups = {name: _one_group(name, found) for name, found in results.items() if found}
    if base not in groups:
        raise ValueError(f'The base {base} has no result to compare with; available: {", ".join(groups) or "none"}.')
    names = [base, *(name for name in groups if name != base)]
    return dict(base=base, metrics=list(metrics), configs=[_entry(name, groups[name], groups[base], metrics) for name in names])


def _one_group(name: str, results: Sequence[Result]) -> Group:
    groups = group_results(results)
    if len(groups) != 1:
        raise ValueError(
            f'Results of {name} belong to {counted(len(groups), "experiment")}: {", ".join(str(result.path) for result in results)}.'
        )
    return groups[0]


def _entry(name: str, group: Group, base: Group, metrics: Sequence[str]) -> dict[str, Any]:
    comparable = _measured_on(group) == _measured_on(base)
    last, last_of_base = list(group.rows)[-1], list(base.rows)[-1]
    pairs = {stage: (stage, stage) for stage in group.rows} | {LAST: (last, last_of_base)}
    stages = {}
    for shown, (stage, other) in pairs.items():
        row = group.rows[stage]
        stages[shown] = {
            metric: dict(**row[metric]._asdict(), difference=difference(group, stage, base, other, metric) if comparable else None)
            for metric in metrics
            if metric in row
        }
    seeds = [result.meta.get('seed') for result in group.results]
    about = group.results[0].meta.get('config')
    return dict(name=name, config=about, seeds=seeds, last=last, caption=group.caption(), comparable=comparable, stages=stages)


def _measured_on(group: Group) -> tuple:
    return tuple(group.results[0].about.get(key) for key in ('data', 'split', 'protocol', 'images'))


def difference(group: Group, stage: str, base: Group, base_stage: str, metric: str) -> dict[str, Any] | None:
    """A metric of a config minus that of the base.

    Returns:
        ``mean``, ``std`` and ``count`` over common seeds, ``values`` of these seeds, and ``paired``; without a common seed the
        difference of the means, ``paired=False``. None if one of them lacks the metric.
    """
    ours, theirs = _by_seed(group, stage, metric), _by_seed(base, base_stage, metric)
    if not ours or not theirs:
        return None
    values = {str(seed): ours[seed] - theirs[seed] for seed in ours if seed in theirs}
    if values:
        return dict(**spread(list(values.values()))._asdict(), paired=True, values=values)
    return dict(mean=spread(list(ours.values())).mean - spread(list(theirs.values())).mean, std=None, count=0, paired=False, values={})


def _by_seed(group: Group, stage: str, metric: str) -> dict[Any, float]:
    rows = {result.meta.get('seed'): result.table.get(stage, {}).get(metric) for result in group.results}
    return {seed: value for seed, value in rows.items() if value is not None}


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison as Markdown: last stages first, then every stage."""
    base, *_ = comparison['configs']
    stages = list(dict.fromkeys(stage for entry in comparison['configs'] for stage in entry['stages'] if stage != LAST))
    parts = [f'# {comparison["base"]} and its variants', base['caption'], _legend(comparison)]
    for stage in (LAST, *stages):
        entries = [entry for entry in comparison['configs'] if stage in entry['stages']]
        rows = [_row(entry, stage, comparison['metrics']) for entry in entries]
        parts += [
            f'## {"Last stage" if stage == LAST else f"Stage {stage}"}',
            markdown(['config', 'stage', 'seeds', *comparison['metrics']], rows),
        ]
    return '\n\n'.join(parts) + '\n'


def _legend(comparison: Mapping[str, Any]) -> str:
    text = 'In parentheses: the difference from the base in percentage points, mean ± sample standard deviation over common seeds.'
    unpaired = [e['name'] for e in comparison['configs'] if any(_unpaired(value) for row in e['stages'].values() for value in row.values())]
    other = [entry['name'] for entry in comparison['configs'] if not entry['comparable']]
    text += f' Without a common seed, difference of means: {", ".join(unpaired)}.' if unpaired else ''
    return text + (f' Measured on other images than the base, so not compared: {", ".join(other)}.' if other else '')


def _unpaired(value: Mapping[str, Any]) -> bool:
    return value['difference'] is not None and not value['difference']['paired']


def _row(entry: Mapping[str, Any], stage: str, metrics: Sequence[str]) -> list[str]:
    cells = [_cell(entry['stages'][stage].get(metric)) for metric in metrics]
    return [entry['name'], entry['last'] if stage == LAST else stage, ', '.join(map(str, entry['seeds'])), *cells]


def _cell(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return '-'
    text, change = Spread(value['mean'], value['std'], value['count']).text(), value['difference']
    if change is None or (change['mean'] == 0 and not change['std']):
        return text
    return f'{text} ({change["mean"]:+.1f}' + ('' if change['std'] is None else f' ± {change["std"]:.1f}') + ')'

"""Tables over several runs, as Markdown and CSV, and the paper's Tables 1-6 next to our results."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmlabelpenet.evaluation.table import COLUMNS, markdown
from mmlabelpenet.workbench.experiments.collect import Group, Spread

PAPER = Path(__file__).with_name('paper_tables.json')
PER_CLASS = ('bbox_mAP_50_11point', 'bbox_mAP_50_area', 'CorLoc_50', 'segm_mAP_50_area', 'ABO_class', 'mIoU')
HEAD = ('table', 'source', 'name', 'stage', 'phase', 'data', 'split', 'metric', 'class', 'mean', 'std', 'seeds')


def paper_tables() -> dict[str, Any]:
    """The paper's Tables 1-6 as printed: ``source`` (whose numbers they are) and ``tables``.

    >>> [table['number'] for table in paper_tables()['tables']]
    [1, 2, 3, 4, 5, 6]
    """
    return json.loads(PAPER.read_text(encoding='utf-8'))


def group_markdown(group: Group, columns: Sequence[str] = COLUMNS, per_class: Sequence[str] = PER_CLASS) -> str:
    """The tables of a group: its caption, one row per stage, then a table with one column per class for each requested metric.

    Args:
        columns: metrics of the first table; those that no stage has are omitted.
        per_class: metrics that get a table per class.
    """
    shown = [metric for metric in columns if any(metric in row for row in group.rows.values())]
    rows = [[stage, *(_cell(row.get(metric)) for metric in shown)] for stage, row in group.rows.items()]
    parts = [f'### {group.name}', group.caption(), markdown(['stage', *shown], rows)]
    for metric in per_class:
        of_stages = {stage: metrics[metric] for stage, metrics in group.per_class.items() if metrics.get(metric)}
        if of_stages:
            classes = list(dict.fromkeys(name for values in of_stages.values() for name in values))
            cells = [[stage, *(_cell(values.get(name)) for name in classes)] for stage, values in of_stages.items()]
            about = group.source(metric)
            where = f'{about.get("data", "?")}/{about.get("split", "?")}'
            parts += [f'`{metric}` per class on {where} ({group.name}):', markdown(['stage', *classes], cells)]
    return '\n\n'.join(parts)


def paper_markdown(table: dict[str, Any], groups: Sequence[Group]) -> str:
    """A table of the paper: its rows as printed, then ours.

    Args:
        groups: our results; each stage with a metric of the table becomes a row.
    """
    metrics = table['metrics']
    rows, ours = [], list(our_rows(table, groups))
    names = table['classes'] if any(row['per_class'] for row in table['rows']) else []
    for row in table['rows']:
        kind = f' ({row["stage"]}, {row["phase"]})' if row['stage'] else ''
        values = [_cell(_single(row['values'].get(metric))) for metric in metrics]
        rows.append([f'paper: {row["method"]}{kind}', f'{table["data"]}/{table["split"]}', *values, ''])
        rows[-1] += [_cell(_single(row['per_class'].get(name))) for name in names]
    for row in ours:
        values = [_cell(row['values'].get(metric)) for metric in metrics]
        rows.append([f'ours: {row["group"].name}, {row["stage"]}', row['where'], *values, _difference(table, row)])
        rows[-1] += [_cell(row['per_class'].get(name)) for name in names]
    text = [f"### The paper's Table {table['number']}", table['caption'] + (f' {table["note"]}' if table['note'] else '')]
    text.append(markdown(['method', 'measured on', *metrics, 'ours − paper', *names], rows))
    text += _captions(ours) or ['No result of ours has these metrics for these classes.']
    return '\n\n'.join(text)


def _captions(rows: Sequence[dict[str, Any]]) -> list[str]:
    captions = list(dict.fromkeys(row['group'].caption() for row in rows))
    if any(not row['comparable'] for row in rows):
        captions.append("Rows measured on data other than the paper's cannot be compared with its rows.")
    return captions


def our_rows(table: dict[str, Any], groups: Iterable[Group]) -> Iterator[dict[str, Any]]:
    """Our rows for a table of the paper.

    Yields:
        ``group``, ``stage``, ``values`` and ``per_class`` (of the first metric), ``where`` (data and split), and whether it is
        ``comparable``: evaluated on the data and split of the table.
    """
    for group in groups:
        about = group.source(table['metrics'][0])
        for stage, row in group.rows.items():
            values = {metric: row[metric] for metric in table['metrics'] if metric in row}
            per_class = group.per_class[stage].get(next(iter(values), ''), {})
            if not values or not set(table['classes']) <= set(per_class):  # other classes
                continue
            comparable = (about.get('data'), about.get('split')) == (table['data'], table['split'])
            where = f'{about.get("data", "?")}/{about.get("split", "?")}{"" if comparable else " (other data)"}'
            yield dict(group=group, stage=stage, values=values, per_class=per_class, where=where, comparable=comparable)


def _difference(table: dict[str, Any], ours: dict[str, Any]) -> str:
    if not ours['comparable']:
        return ''
    same = [row for row in table['rows'] if row['stage'] == ours['stage'] and row['phase'] == 'recurrent']
    pairs = [(ours['values'].get(metric), same[0]['values'].get(metric)) for metric in table['metrics']] if same else []
    return ', '.join('-' if None in pair else f'{pair[0].mean - pair[1]:+.1f}' for pair in pairs)


def _cell(value: Spread | None) -> str:
    return '-' if value is None else value.text()


def _single(value: float | None) -> Spread | None:
    return None if value is None else Spread(value)


def as_csv(groups: Sequence[Group], tables: Sequence[dict[str, Any]] = ()) -> str:
    """One unrounded number per line: ours by stage, metric and class, then the rows of the paper's tables.

    Returns:
        Text with the columns ``table, source, name, stage, phase, data, split, metric, class, mean, std, seeds``; ``class`` is empty
        for means over classes, ``table`` for our own results.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(HEAD)
    for group in groups:
        for stage, row in group.rows.items():
            for metric, value in row.items():
                about = group.source(metric)
                start = ['', 'ours', group.name, stage, '', about.get('data', ''), about.get('split', ''), metric]
                writer.writerow([*start, '', *_numbers(value)])
                for name, of_class in group.per_class[stage].get(metric, {}).items():
                    writer.writerow([*start, name, *_numbers(of_class)])
    for table in tables:
        for row in table['rows']:
            start = [table['number'], 'paper', row['method'], row['stage'] or '', row['phase'] or '', table['data'], table['split']]
            for metric, value in row['values'].items():
                if value is not None:
                    writer.writerow([*start, metric, '', value, '', ''])
            for name, value in row['per_class'].items():
                writer.writerow([*start, table['metrics'][0], name, value, '', ''])
    return out.getvalue()


def _numbers(value: Spread) -> list[Any]:
    return [repr(value.mean), '' if value.std is None else repr(value.std), value.count]

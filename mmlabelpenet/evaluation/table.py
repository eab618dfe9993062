"""The table of results: as numbers, as text for the terminal, as Markdown and as a JSON file.

A *table* is ``{stage: {metric: value or None, ..., 'per_class': {metric: {class: value or None}}}}``. Values are percent and never
rounded; None (null, shown as ``-``) marks metrics that do not apply.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..files import atomic_write
from ..schema import convert, decode_json, read_json, short

Table = dict[str, dict[str, Any]]
_Row = dict[str, float | None | dict[str, dict[str, float | None]]]

COLUMNS = (
    'bbox_mAP_50_11point', 'bbox_mAP_50_area', 'CorLoc_50', 'segm_mAP_25_area', 'segm_mAP_50_area', 'segm_mAP_70_area',
    'segm_mAP_75_area', 'ABO_class', 'mIoU',
)  # fmt: skip


def make_row(values: Mapping[str, NDArray | None], classes: Sequence[str]) -> dict[str, Any]:
    """Convert fractions per class into one row of the table: percent, means over the classes for which the metric is defined, None for nan.

    Args:
        values: metric -> float (C,), or (C + 1,) with the background first, or None.
        classes: C names.

    Returns:
        ``{metric: value, ..., 'per_class': {metric: {class: value}}}``.

    >>> make_row({'ABO_class': np.array([0.5, np.nan])}, ['cat', 'dog'])
    {'ABO_class': 50.0, 'per_class': {'ABO_class': {'cat': 50.0, 'dog': None}}}
    """
    row: dict[str, Any] = {}
    per_class: dict[str, dict[str, float | None]] = {}
    for metric, value in values.items():
        if value is None:
            row[metric] = None
            continue
        names = classes if len(value) == len(classes) else ('background', *classes)
        known = value[~np.isnan(value)]
        row[metric] = float(100 * known.mean()) if len(known) else None
        per_class[metric] = {name: None if np.isnan(item) else float(100 * item) for name, item in zip(names, value, strict=True)}
    return {**row, 'per_class': per_class}


def merge_tables(first: Table, second: Table) -> Table:
    """Merge two tables of the same model, such as those of the test split and of CorLoc on the training split.

    Args:
        first: a table.
        second: another one; its values fill values that are None or missing in the first.

    Returns:
        A new table with the stages and metrics of both.

    Raises:
        ValueError: both have a value for the same metric of the same stage.

    >>> merge_tables({'detection': {'mIoU': 1.0, 'CorLoc_50': None}}, {'detection': {'CorLoc_50': 2.0}})['detection']
    {'mIoU': 1.0, 'CorLoc_50': 2.0, 'per_class': {}}
    """
    merged: Table = {}
    for stage in dict.fromkeys([*first, *second]):
        rows = first.get(stage, {}), second.get(stage, {})
        metrics = [metric for metric in dict.fromkeys([*rows[0], *rows[1]]) if metric != 'per_class']
        twice = [metric for metric in metrics if all(row.get(metric) is not None for row in rows)]
        if twice:
            raise ValueError(f'Both tables have {twice} of stage {stage!r}. Merge only tables of different protocols.')
        merged[stage] = {metric: rows[1].get(metric) if rows[0].get(metric) is None else rows[0][metric] for metric in metrics}
        merged[stage]['per_class'] = {**rows[0].get('per_class', {}), **rows[1].get('per_class', {})}
    return merged


def text_table(table: Table, columns: Sequence[str] = COLUMNS, digits: int = 1) -> str:
    """Render a table for the terminal, one row per stage.

    >>> print(text_table({'detection': {'mIoU': 61.25, 'ABO_class': None}}, ['ABO_class', 'mIoU']))
    stage      ABO_class  mIoU
    ---------  ---------  ----
    detection          -  61.2
    """
    cells = _cells(table, columns, digits)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        '  '.join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    lines.insert(1, '  '.join('-' * width for width in widths))
    return '\n'.join(line.rstrip() for line in lines)


def markdown_table(table: Table, columns: Sequence[str] | None = None, digits: int = 1) -> str:
    """Render a table as Markdown, one row per stage; by default with every metric that any stage has.

    >>> print(markdown_table({'detection': {'mIoU': 61.25}}))
    | stage | mIoU |
    | :-- | --: |
    | detection | 61.2 |
    """
    if columns is None:
        columns = [metric for metric in _metrics(table) if any(row.get(metric) is not None for row in table.values())]
    head, *rows = _cells(table, columns, digits)
    return markdown(head, rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render cells as a Markdown table; the first column is a name, the others are numbers.

    >>> print(markdown(['a', 'b'], [['x', '1']]))
    | a | b |
    | :-- | --: |
    | x | 1 |
    """
    lines = [head, [':--', *['--:'] * (len(head) - 1)], *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _cells(table: Table, columns: Sequence[str], digits: int) -> list[list[str]]:
    rows = [['stage', *columns]]
    for stage, row in table.items():
        if stage != 'meta':
            numbers = (row.get(column) for column in columns)
            rows.append([stage, *('-' if number is None else f'{number:.{digits}f}' for number in numbers)])
    return rows


def _metrics(table: Table) -> list[str]:
    names = dict.fromkeys(metric for stage, row in table.items() if stage != 'meta' for metric in row)
    return [name for name in names if name != 'per_class']


class Meta(msgspec.Struct):
    """The fields of a table's provenance that other modules read; there may be more."""

    config: str | None = None
    recipe_sha256: str | None = None
    predictions: str | None = None
    checkpoint_sha256: str | None = None
    commit: str | None = None
    seed: int | str | None = None
    iterations: int | None = None
    planned_iterations: int | None = None
    versions: dict[str, str] = {}
    test: dict[str, Any] | None = None
    corloc: dict[str, Any] | None = None


def read_metrics(path: str | os.PathLike) -> tuple[Table, dict[str, Any]]:
    """Read a file written by :func:`write_metrics`, or by another program in its format.

    Returns:
        the table and its ``meta``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has another format; the message names file and location.
    """
    where, todo = repr(os.fspath(path)), 'tools/test.py --out writes such a file.'
    parts = read_json(path, dict[str, msgspec.Raw], 'a results file', todo)
    meta = decode_json(bytes(parts.pop('meta', b'{}')), dict[str, Any], f'"meta" of {where} is malformed', todo)
    convert(meta, Meta, f'"meta" of {where} is malformed', todo)
    table = {
        stage: decode_json(bytes(row), _Row, f'{short(stage)} of {where} is not a row of results', todo) for stage, row in parts.items()
    }
    return {stage: {'per_class': {}, **row} for stage, row in table.items()}, meta


def write_metrics(path: str | os.PathLike, table: Table, meta: Mapping[str, Any]) -> None:
    """Write a table as JSON, atomically.

    Args:
        path: the file; its folder is created.
        table: the table.
        meta: provenance (config, checkpoint, split, protocol, ...), stored as ``meta``.

    Raises:
        ValueError: a value is nan or infinite.
    """
    text = json.dumps({**table, 'meta': dict(meta)}, indent=2, allow_nan=False) + '\n'
    with atomic_write(path) as file:
        file.write(text)

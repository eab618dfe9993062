"""Collect ``metrics.json`` files of several runs: mean and standard deviation over seeds, only for the last checkpoint of each run.

A *result* is one file. Results of the same config (except its seed), on the same images with the same protocol, form a *group*.
"""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmlabelpenet.evaluation.table import read_metrics
from mmlabelpenet.schema import counted

UNITS = ('iteration', 'epoch')  # units of the training length


class Spread(NamedTuple):
    """A value over seeds: ``mean``, sample standard deviation ``std`` (None for a single seed), ``count`` of seeds."""

    mean: float
    std: float | None = None
    count: int = 1

    def text(self, digits: int = 1) -> str:
        """As printed in tables.

        >>> Spread(53.12, 0.36, 3).text(), Spread(53.12).text()
        ('53.1 ± 0.4', '53.1')
        """
        return f'{self.mean:.{digits}f}' + ('' if self.std is None else f' ± {self.std:.{digits}f}')


@dataclass(frozen=True)
class Result:
    """One ``metrics.json``: its path, the table (stage -> row) and its ``meta``."""

    path: Path
    table: dict[str, dict[str, Any]]
    meta: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """Data of the main protocol; in results of other programs it is at the top level."""
        return self.meta.get('test') or self.meta

    @property
    def corloc(self) -> dict[str, Any] | None:
        """Data of CorLoc, if measured."""
        return self.meta if self.meta.get('protocol') == 'corloc' else self.meta.get('corloc')

    @property
    def experiment(self) -> str:
        """Key shared by results of a group: the config hash, or else the name of config or predictions."""
        return str(self.meta.get('recipe_sha256') or self.meta.get('config') or self.meta.get('predictions'))

    def unfit(self) -> str | None:
        """The reason why the result is not from a finished training on a whole split; None if it is."""
        for unit in UNITS:
            done, planned = self.meta.get(f'{unit}s'), self.meta.get(f'planned_{unit}s')
            if None not in (done, planned) and done != planned:
                return f'the checkpoint is not the last: {unit} {done} of {planned}'
        for about in (self.about, self.corloc or {}):
            images, whole = about.get('images'), about.get('images_in_split')
            if images is not None and whole is not None and images != whole:
                split = about.get('split')
                return f'{counted(images, f"image of {split!r}", "was", of=whole)} evaluated'
        return None


@dataclass(frozen=True)
class Group:
    """Results over seeds.

    Attributes:
        name: name of the config or of the predictions.
        results: one per seed, by seed.
        rows: stage -> metric -> values over seeds, percent.
        per_class: stage -> metric -> class -> values over seeds.
    """

    name: str
    results: list[Result]
    rows: dict[str, dict[str, Spread]]
    per_class: dict[str, dict[str, dict[str, Spread]]]

    def source(self, metric: str) -> dict[str, Any]:
        """Data of a metric: ``data``, ``split``, ``protocol``, ``images``."""
        first = self.results[0]
        return (first.corloc or {}) if metric.startswith('CorLoc') else first.about

    def caption(self) -> str:
        """Config, protocol, split, seeds, checkpoint, commit in a sentence or two."""
        first = self.results[0]
        sources = [('test', first.about)] if first.about.get('protocol') != 'corloc' else []
        sources += [('CorLoc', first.corloc)] if first.corloc else []
        parts = [
            f'{name}: protocol {about["protocol"]}, split {about.get("data", "?")}/{about["split"]}, {counted(about["images"], "image")}'
            for name, about in sources
        ]
        seeds = ', '.join(str(result.meta.get('seed', 'unknown')) for result in self.results)
        spread = 'mean ± sample standard deviation over seeds' if len(self.results) > 1 else 'one seed'
        parts.append(f'{spread}: {seeds}')
        if 'checkpoint' in first.meta:
            planned = [f'{unit} {first.meta[key]}' for unit in UNITS if first.meta.get(key := f'planned_{unit}s')]
            parts.append(f'last checkpoint, {planned[0]}' if planned else 'unknown whether the checkpoint is the last')
        parts.append('commit ' + ', '.join(sorted({str(result.meta.get('commit'))[:10] for result in self.results})))
        return f'{self.name}. Percent. ' + '; '.join(parts) + '.'


def find_results(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Result], list[str]]:
    """Read results.

    Args:
        paths: files, or folders that contain ``metrics.json`` at any depth.

    Returns:
        The results, and a line for each excluded one (:meth:`Result.unfit`).

    Raises:
        FileNotFoundError: a path has none.
        ValueError: a file is not a result.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        found = sorted(path.rglob('metrics.json')) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise FileNotFoundError(f'No metrics.json in {str(path)!r}. tools/test.py --out writes it.')
        files.update(dict.fromkeys(file.resolve() for file in found))
    results = [read_result(file) for file in files]
    left_out = [f'{result.path}: {reason}' for result in results if (reason := result.unfit())]
    return [result for result in results if not result.unfit()], left_out


def read_result(path: Path) -> Result:
    """Read one file.

    Raises:
        ValueError: it is not a results file; the message names it.
    """
    result = Result(path, *read_metrics(path))
    if missing := [key for key in ('split', 'protocol', 'images') if key not in result.about]:
        raise ValueError(f'{str(path)!r} does not record the {missing[0]} of its results, which tools/test.py --out writes.')
    return result


def check_measured(metrics: Iterable[str], results: Iterable[Result]) -> None:
    """Raise a ValueError for a metric that no result has, such as a misspelt one."""
    rows = [row for result in results for row in result.table.values()]
    known = dict.fromkeys(key for row in rows for key in (*row, *row['per_class']) if key != 'per_class')
    if unknown := [metric for metric in metrics if metric not in known]:
        raise ValueError(f'No result has the metric {unknown[0]!r}. Measured: {", ".join(known)}.')


def group_results(results: Sequence[Result]) -> list[Group]:
    """Group results by experiment.

    Args:
        results: in any order; the same checkpoint may have been evaluated twice.

    Returns:
        Groups in the order of their first result.

    Raises:
        ValueError: a group has two checkpoints with the same seed.
    """
    members: dict[tuple, list[Result]] = {}
    for result in results:
        members.setdefault(_key(result), []).append(result)
    names = [_name(found[0]) for found in members.values()]
    groups = []
    for name, found in zip(names, members.values(), strict=True):
        twice = names.count(name) > 1
        label = f'{name} ({found[0].experiment[:8]}, {found[0].about.get("data", "?")}/{found[0].about["split"]})' if twice else name
        groups.append(_group(label, found))
    return groups


def _key(result: Result) -> tuple:
    fields = ('data', 'split', 'protocol', 'images', 'semantic_score_thr')
    return result.experiment, *(about.get(field) for about in (result.about, result.corloc or {}) for field in fields)


def _name(result: Result) -> str:
    return Path(result.meta.get('config') or result.meta.get('predictions') or result.path.parent.name).stem


def _group(name: str, results: Sequence[Result]) -> Group:
    by_seed: dict[Any, Result] = {}
    for result in results:
        other = by_seed.setdefault(result.meta.get('seed'), result)
        if other is not result and other.table != result.table:
            raise ValueError(
                f'Two different results of seed {result.meta.get("seed")} of {name}: {str(other.path)!r} and {str(result.path)!r}. '
                'Keep one of them.'
            )
    kept = sorted(by_seed.values(), key=lambda result: str(result.meta.get('seed')))
    stages = list(dict.fromkeys(stage for result in kept for stage in result.table))
    rows, per_class = {}, {}
    for stage in stages:
        found = [result.table[stage] for result in kept if stage in result.table]
        metrics = [metric for metric in dict.fromkeys(key for row in found for key in row) if metric != 'per_class']
        rows[stage] = _spreads(metrics, found)
        kinds = dict.fromkeys(metric for row in found for metric in row['per_class'])
        of_classes = {metric: [row['per_class'].get(metric, {}) for row in found] for metric in kinds}
        per_class[stage] = {
            metric: _spreads(list(dict.fromkeys(k for v in values for k in v)), values) for metric, values in of_classes.items()
        }
    return Group(name, kept, rows, per_class)


def _spreads(keys: Iterable[str], rows: Sequence[dict[str, Any]]) -> dict[str, Spread]:
    values = {key: [row[key] for row in rows if row.get(key) is not None] for key in keys}
    return {key: spread(found) for key, found in values.items() if found}


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, std=1.0, count=3)
    """
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

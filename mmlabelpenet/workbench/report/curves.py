"""Training curves from the scalars that mmengine's loggers write to a work dir, and their layout in a chart."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmlabelpenet.apis.config import phase_lengths
from mmlabelpenet.apis.run_note import run_files
from mmlabelpenet.workbench.report.live_progress_hook import loss_values

Points = list[tuple[float, float]]
_DRAWN = 1e100  # larger and non-finite values are skipped: distances in the chart must be finite


def read_scalars(work_dir: str | Path) -> list[dict]:
    """Log lines of all training runs of a work dir, one per iteration; those of a resumed run replace older ones.

    Returns:
        dicts with ``step`` (int) and values, by ascending step; truncated lines are skipped.
    """
    lines: dict[int, dict] = {}
    for path in run_files(work_dir, 'vis_data/scalars.json'):
        for text in path.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get('step'), int) and any('loss' in key for key in line):
                lines[line['step']] = line
    return [lines[step] for step in sorted(lines)]


def phase_lines(scalars: Sequence[Mapping], config: Config) -> list[tuple[str, int, list[Mapping]]]:
    """Name, number of iterations and log lines of each phase of a config.

    >>> stages = dict(classification=dict(), detection=dict())
    >>> phases = dict(phases=dict(classification=dict(iters=2), detection=dict(iters=3)))
    >>> phase_lines([dict(step=1), dict(step=4)], Config(dict(model=dict(stages=stages), train_cfg=phases)))
    [('classification', 2, [{'step': 1}]), ('detection', 3, [{'step': 4}])]
    """
    found, start = [], 0
    for phase, iters in phase_lengths(config).items():
        end = start + iters
        found.append((phase, iters, [line for line in scalars if start < line['step'] <= end]))
        start = end
    return found


def loss_curves(lines: Sequence[Mapping]) -> dict[str, Points]:
    """Points ``(iteration, value)`` of each loss, see :func:`~mmlabelpenet.workbench.report.live_progress_hook.loss_values`.

    >>> loss_curves([{'step': 1, 'detection.loss_cls': 2.0}])
    {'loss_cls': [(1, 2.0)]}
    """
    curves: dict[str, Points] = {}
    for line in lines:
        for name, value in loss_values(line).items():
            if abs(value) < _DRAWN:
                curves.setdefault(name, []).append((line['step'], value))
    return curves


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``count`` of them.

    >>> nice_ticks(0, 2.7)
    [0.0, 1.0, 2.0]
    """
    step = max(high - low, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(step))
    step = next((power * factor for factor in (1, 2, 5, 10) if power * factor >= step), power * 10)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Chart:
    """Lines over iterations, in pixels of an image of ``width`` by ``height``.

    Attributes:
        title: chart title.
        lines: points of each line by name, possibly empty.
        across: position and text of each tick on the iteration axis.
        up: position and text of each tick on the value axis.
    """

    title: str
    lines: dict[str, Points]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]

    width, height = 360, 190
    left, right, top, bottom = 38, 344, 8, 166


def chart(title: str, curves: Mapping[str, Points]) -> Chart:
    """Lay out curves.

    >>> chart('detection', {'loss_cls': [(1, 0.0), (3, 2.0)]}).lines
    {'loss_cls': [(38.0, 166.0), (344.0, 15.5)]}
    """
    points = [point for line in curves.values() for point in line]
    if not points:
        return Chart(title, {}, [], [])
    xs, ys = zip(*points, strict=True)
    x_range, y_range = (min(xs), max(max(xs), min(xs) + 1)), (min(0.0, *ys), max(*ys, min(ys) + 1e-6, 1e-6) * 1.05)

    def place(value: float, low: float, high: float, start: float, end: float) -> float:
        return round(start + (value - low) / (high - low) * (end - start), 1)

    def across(x: float) -> float:
        return place(x, *x_range, Chart.left, Chart.right)

    def up(y: float) -> float:
        return place(y, *y_range, Chart.bottom, Chart.top)

    return Chart(
        title,
        {name: [(across(x), up(y)) for x, y in line] for name, line in curves.items()},
        [(across(tick), f'{tick:g}') for tick in nice_ticks(*x_range) if tick == int(tick)],
        [(up(tick), f'{tick:g}') for tick in nice_ticks(*y_range)],
    )

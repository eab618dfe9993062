"""Training curves as inline SVG, from the scalars that mmengine's loggers leave in a work dir."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from mmlabelpenet.engine.hooks.live_progress import loss_values

Points = list[tuple[float, float]]

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 16, 8, 24


def read_scalars(work_dir: str | Path) -> list[dict]:
    """Log lines of all training runs of a work dir, one for each iteration, a resumed run's in place of the older ones.

    Args:
        work_dir: of ``tools/train.py``.

    Returns:
        dicts with ``step`` (int) and values, by rising step; lines cut short by a kill are passed over.
    """
    lines: dict[int, dict] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for text in path.read_text(errors='replace').splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue
            if isinstance(line, dict) and isinstance(line.get('step'), int) and any('loss' in key for key in line):
                lines[line['step']] = line
    return [lines[step] for step in sorted(lines)]


def phase_curves(scalars: Sequence[Mapping], phases: Sequence[Mapping]) -> list[tuple[str, dict[str, Points]]]:
    """Losses of each phase.

    Args:
        scalars: of :func:`read_scalars`.
        phases: of the config, ``name`` and ``iters``.

    Returns:
        for each phase its name and ``{loss: [(iteration, value), ...]}``, with losses as in
        :func:`~mmlabelpenet.engine.hooks.live_progress.loss_values`.

    >>> phase_curves([{'step': 1, 'detection.loss_cls': 2.0}], [{'name': 'detection', 'iters': 3}])
    [('detection', {'loss_cls': [(1, 2.0)]})]
    """
    curves, start = [], 0
    for phase in phases:
        end = start + phase['iters']
        series: dict[str, Points] = {}
        for line in scalars:
            if start < line['step'] <= end:
                for name, value in loss_values(line).items():
                    if math.isfinite(value):
                        series.setdefault(name, []).append((line['step'], value))
        curves.append((phase['name'], series))
        start = end
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


def line_chart(series: Mapping[str, Points], label: str = '') -> str:
    """An SVG of lines over iterations; colours come from the CSS classes ``s0``, ``s1``, ... of the page.

    Args:
        series: points by name; empty ones are passed over.
        label: what the picture shows, for readers who do not see it.

    Returns:
        ``<svg>...</svg>``, or a sentence where there is nothing to draw.

    >>> line_chart({})
    '<p class="note">Nothing was logged.</p>'
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return '<p class="note">Nothing was logged.</p>'
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_range, y_range = (min(xs), max(max(xs), min(xs) + 1)), (min(0.0, min(ys)), max(max(ys), min(ys) + 1e-6, 1e-6) * 1.05)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - _LEFT - _RIGHT)
        up = (y - y_range[0]) / (y_range[1] - y_range[0]) * (HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(HEIGHT - _BOTTOM - up, 1)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label, quote=True)}">']
    for tick in nice_ticks(*y_range):
        y = place(x_range[0], tick)[1]
        parts.append(
            f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/><text class="tick end" x="{_LEFT - 5}" y="{y + 3.5}">{tick:g}</text>'
        )
    for tick in nice_ticks(*x_range):
        if tick == int(tick):
            parts.append(f'<text class="tick mid" x="{place(tick, 0)[0]}" y="{HEIGHT - 8}">{tick:g}</text>')
    for index, line in enumerate(series.values()):
        coordinates = ' '.join(f'{x},{y}' for x, y in (place(*point) for point in line))
        if len(line) == 1:
            x, y = place(*line[0])
            parts.append(f'<circle class="s{index % 8} dot" cx="{x}" cy="{y}" r="2.5"/>')
        elif line:
            parts.append(f'<polyline class="s{index % 8}" points="{coordinates}"/>')
    return ''.join([*parts, '</svg>'])


def legend(names: Sequence[str]) -> str:
    """Names beside samples of their lines."""
    items = ''.join(f'<li><span class="key k{index % 8}"></span>{escape(name)}</li>' for index, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'

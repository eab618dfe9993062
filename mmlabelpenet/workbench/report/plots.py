"""Figures for papers and slides: losses, differences, confusion matrices, multiple-instance learning. They need no display.

The file extension determines the format (PNG without one); identical figures give identical files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmlabelpenet.files import atomic_write
from mmlabelpenet.workbench.experiments.differences import LAST
from mmlabelpenet.workbench.report.curves import Points, loss_curves, phase_lines, read_scalars
from mmlabelpenet.workbench.report.run import last_config

ENDINGS = ('', *(f'.{kind}' for kind in FigureCanvasBase.filetypes))
"""File extensions of figures."""
_STYLES = ('-', '--', ':', '-.')
PANELS = {
    'chosen_area': 'median area of the best box, % of image',
    'mass_on_object': 'weight on object pixels, %',
    'entropy': 'entropy of weights, % of maximum',
    'chosen_iou': 'mean IoU of the best box, %',
    'CorLoc_50': 'CorLoc, %',
}


def save_figure(figure: Figure, out: str | Path) -> Path:
    """Write a figure; returns its path.

    Raises:
        ValueError: matplotlib does not support the format.
    """
    path = Path(out)
    with matplotlib.rc_context({'svg.hashsalt': 'mmlabelpenet'}), atomic_write(path, 'wb') as file:
        kind = path.suffix[1:] or 'png'
        figure.savefig(file, format=kind, dpi=130, metadata={'Date': None} if kind == 'svg' else None)
    return path


def plot_logs(work_dirs: Sequence[str | Path], out: str | Path, keys: Sequence[str] | None = None, log: bool = False) -> Path:
    """Draw one plot for each phase.

    Args:
        keys: plot only losses whose name contains one of these; None for all.
        log: logarithmic axis.

    Raises:
        FileNotFoundError: a folder without a training.
        ValueError: no matching loss was logged.
    """
    folders = list(dict.fromkeys(map(Path, work_dirs)))
    names = [folder.resolve().name for folder in folders]
    names = names if len(set(names)) == len(names) else [str(folder) for folder in folders]  # seeds of several configs: a/seed0, b/seed0
    runs = {name: read_curves(folder, keys) for name, folder in zip(names, folders, strict=True)}
    phases = list(dict.fromkeys(name for curves in runs.values() for name, series in curves.items() if series))
    if not phases:
        raise ValueError(
            f'No loss was logged in {", ".join(map(str, work_dirs))}' + (f' that contains {" or ".join(keys)}.' if keys else '.')
        )
    figure = Figure(figsize=(4 * len(phases), 3.2), layout='constrained')
    axes = figure.subplots(1, len(phases), squeeze=False)
    for axis, phase in zip(axes[0], phases, strict=True):
        names = list(dict.fromkeys(name for curves in runs.values() for name in curves.get(phase, {})))
        for number, (run, curves) in enumerate(runs.items()):
            for name, points in curves.get(phase, {}).items():
                label = name if len(runs) == 1 else f'{name} ({run})'
                colour, marker = f'C{names.index(name) % 10}', 'o' if len(points) == 1 else ''
                axis.plot(*zip(*points, strict=True), _STYLES[number % 4], color=colour, label=label, marker=marker, lw=1.3)
        axis.set(title=phase, xlabel='iteration', yscale='log' if log else 'linear')
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    return save_figure(figure, out)


def read_curves(work_dir: str | Path, keys: Sequence[str] | None = None) -> dict[str, dict[str, Points]]:
    """Losses of a training by phase and name.

    Raises:
        FileNotFoundError: no training in the folder.
    """
    config = last_config(work_dir)
    if config is None:
        raise FileNotFoundError(f'{str(work_dir)!r} contains no training (no */vis_data/config.py).')
    found = {}
    for phase, _, lines in phase_lines(read_scalars(work_dir), config):
        found[phase] = {name: line for name, line in loss_curves(lines).items() if not keys or any(key in name for key in keys)}
    return found


def plot_differences(comparison: Mapping[str, Any], out: str | Path, stage: str = LAST) -> Path | None:
    """Draw a point for each seed, the mean, and the standard deviation as a bar.

    Args:
        comparison: result of :func:`~mmlabelpenet.workbench.experiments.differences.compare_configs`.
        stage: stage whose metrics are compared; ``'last'`` compares last stages.

    Returns:
        ``out``, or None if no config shares a metric with the base.
    """
    changes = {}
    for entry in comparison['configs']:
        rows = entry['stages'].get(stage, {})
        found = {metric: value['difference'] for metric, value in rows.items() if value['difference'] is not None}
        if found and entry['name'] != comparison['base']:
            changes[entry['name']] = found
    metrics = [metric for metric in comparison['metrics'] if any(metric in found for found in changes.values())]
    if not metrics:
        return None
    figure = Figure(figsize=(2.2 + 2.2 * len(metrics), 1.1 + 0.26 * len(changes)), layout='constrained')
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)
    for panel, metric in zip(panels[0], metrics, strict=True):
        for line, found in enumerate(changes.values()):
            if metric in found:
                change = found[metric]
                colour = 'C2' if change['mean'] > 0 else 'C3'
                panel.errorbar(change['mean'], line, xerr=change['std'] or 0, fmt='o', color=colour, markersize=5, capsize=2)
                panel.plot(list(change['values'].values()), [line] * len(change['values']), '|', color='0.3', markersize=7)
        panel.axvline(0, color='0.5', lw=1)
        panel.grid(axis='x', alpha=0.3)
        panel.set_title(metric, fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0][0].set_yticks(range(len(changes)), list(changes))
    panels[0][0].invert_yaxis()
    figure.supxlabel(f'percentage points above {comparison["base"]}, {stage} stage (bars: standard deviation over seeds)', fontsize=8)
    return save_figure(figure, out)


def plot_mil_mass(runs: Mapping[str, Mapping], out: str | Path) -> Path:
    """One plot per measure, one line per run; the dotted line is the weight on object pixels with uniform proposal weights.

    Args:
        runs: results of :func:`~mmlabelpenet.workbench.experiments.mil_mass.mil_mass` by name.

    Raises:
        ValueError: no checkpoint contains its iteration.
    """
    lines = {name: [row for row in run['checkpoints'] if row['iteration'] is not None] for name, run in runs.items()}
    if not any(lines.values()):
        raise ValueError('No checkpoint contains its iteration, so there is nothing to plot over iterations.')
    figure = Figure(figsize=(3.1 * len(PANELS), 2.9), layout='constrained')
    axes = figure.subplots(1, len(PANELS))
    for axis, (key, title) in zip(axes, PANELS.items(), strict=True):
        for number, (name, rows) in enumerate(lines.items()):
            steps = [row['iteration'] for row in rows]
            axis.plot(steps, [row[key] for row in rows], 'o-', color=f'C{number}', label=name, lw=1.3, ms=3)
            if key == 'mass_on_object':
                axis.plot(steps, [row['uniform_on_object'] for row in rows], ':', color=f'C{number}')
        axis.set(xlabel='iteration', ylim=(0, None))
        axis.set_title(title, fontsize=9)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    return save_figure(figure, out)


def draw_confusion(counts: NDArray[np.int64], classes: Sequence[str], out: str | Path) -> Path:
    """A confusion matrix as a figure, in percent of each row.

    Args:
        counts: (C + 1, C + 1), annotated by predicted class; the last row and column are the background.
        classes: C names.
        out: the figure; the file extension determines the format.
    """
    names, shares = [*classes, 'background'], 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(2 + 0.5 * len(names), 1.6 + 0.5 * len(names)), layout='constrained')
    axis = figure.subplots()
    axis.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 50
        axis.text(column, row, f'{shares[row, column]:.0f}', ha='center', va='center', fontsize=7, color='white' if dark else 'black')
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(xlabel='predicted', ylabel='annotated')
    return save_figure(figure, out)

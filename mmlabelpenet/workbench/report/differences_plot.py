"""Differences of configs from their base as a figure: one panel for each metric, one line for each config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmlabelpenet.workbench.experiments.differences import LAST
from mmlabelpenet.workbench.report.figures import save_figure


def plot_differences(comparison: Mapping[str, Any], out: str | Path, stage: str = LAST) -> Path | None:
    """Draw a point for each seed, the mean, and the standard deviation as a bar.

    Args:
        comparison: of :func:`~mmlabelpenet.workbench.experiments.differences.compare_configs`.
        out: the figure; its suffix says in which format.
        stage: whose metrics; ``'last'`` compares last stages.

    Returns:
        ``out``, or None where no config differs from the base in any metric that both have.
    """
    changes = {entry['name']: _changes(entry, stage) for entry in comparison['configs'] if entry['name'] != comparison['base']}
    changes = {name: found for name, found in changes.items() if found}
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


def _changes(entry: Mapping[str, Any], stage: str) -> dict[str, Mapping[str, Any]]:
    return {metric: value['difference'] for metric, value in entry['stages'].get(stage, {}).items() if value['difference'] is not None}

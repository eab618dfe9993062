"""How the look of multiple-instance learning changes over training, as a figure."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from mmlabelpenet.workbench.report.figures import save_figure

PANELS = {
    'chosen_area': 'median area of the best box, % of image',
    'mass_on_object': 'weight on object pixels, %',
    'entropy': 'entropy of weights, % of largest',
    'chosen_iou': 'mean IoU of the best box, %',
    'CorLoc_50': 'CorLoc, %',
}


def plot_mil_mass(runs: Mapping[str, Mapping], out: str | Path) -> Path:
    """One plot for each measure, one line for each run; dotted is the weight on object pixels if all proposals weighed alike.

    Args:
        runs: results of :func:`~mmlabelpenet.workbench.experiments.mil_mass.mil_mass` by name.
        out: the figure; its suffix says in which format.

    Returns:
        ``out``.

    Raises:
        ValueError: no checkpoint says its iteration.
    """
    lines = {name: [row for row in run['checkpoints'] if row['iteration'] is not None] for name, run in runs.items()}
    if not any(lines.values()):
        raise ValueError('No checkpoint says after which iteration it was written, so that there is nothing to draw over iterations.')
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

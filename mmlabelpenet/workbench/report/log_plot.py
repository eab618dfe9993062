"""Losses of trainings as a figure for papers and slides; the report has its own, interactive without scripts."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mmlabelpenet.workbench.report.curves import Points, loss_curves, phase_lines, read_scalars
from mmlabelpenet.workbench.report.figures import save_figure
from mmlabelpenet.workbench.report.run import last_config

_STYLES = ('-', '--', ':', '-.')


def plot_logs(work_dirs: Sequence[str | Path], out: str | Path, keys: Sequence[str] | None = None, log: bool = False) -> Path:
    """Draw one plot for each phase.

    Args:
        out: the figure; its suffix says in which format.
        keys: only losses whose name holds one of these; None all.
        log: logarithmic axis.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: a folder without training.
        ValueError: nothing was logged that fits.
    """
    runs = {Path(folder).name: read_curves(folder, keys) for folder in work_dirs}
    phases = list(dict.fromkeys(name for curves in runs.values() for name, series in curves.items() if series))
    if not phases:
        raise ValueError(f'No loss was logged in {", ".join(map(str, work_dirs))}' + (f' that holds {" or ".join(keys)}.' if keys else '.'))
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
        raise FileNotFoundError(f'{str(work_dir)!r} holds no training (no */vis_data/config.py).')
    found = {}
    for phase, _, lines in phase_lines(read_scalars(work_dir), config):
        found[phase] = {name: line for name, line in loss_curves(lines).items() if not keys or any(key in name for key in keys)}
    return found

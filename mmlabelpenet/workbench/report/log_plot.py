"""Losses of trainings as a figure for papers and slides; the report has its own, interactive without scripts."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from mmlabelpenet.files import atomic_write
from mmlabelpenet.workbench.report.curves import Points, phase_curves, read_scalars

_STYLES = ('-', '--', ':', '-.')


def plot_logs(work_dirs: Sequence[str | Path], out: str | Path, keys: Sequence[str] | None = None, log: bool = False) -> Path:
    """Draw one plot for each phase.

    Args:
        work_dirs: of trainings, finished or not.
        out: the figure; its suffix says in which format.
        keys: only losses whose name holds one of these; None all.
        log: logarithmic axis.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: a folder without training.
        ValueError: nothing was logged that fits.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    runs = {Path(folder).name: read_curves(folder, keys) for folder in work_dirs}
    phases = list(dict.fromkeys(name for curves in runs.values() for name, series in curves.items() if series))
    if not phases:
        raise ValueError(f'No loss was logged in {", ".join(map(str, work_dirs))}' + (f' that holds {" or ".join(keys)}.' if keys else '.'))
    figure, axes = pyplot.subplots(1, len(phases), figsize=(4 * len(phases), 3.2), squeeze=False, layout='constrained')
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
    with atomic_write(out, 'wb') as file:
        figure.savefig(file, format=Path(out).suffix.lstrip('.') or 'png', dpi=130)
    pyplot.close(figure)
    return Path(out)


def read_curves(work_dir: str | Path, keys: Sequence[str] | None = None) -> dict[str, dict[str, Points]]:
    """Losses of a training by phase and name.

    Raises:
        FileNotFoundError: no training in the folder.
    """
    configs = sorted(Path(work_dir).glob('*/vis_data/config.py'))
    if not configs:
        raise FileNotFoundError(f'{str(work_dir)!r} holds no training (no */vis_data/config.py).')
    phases = Config.fromfile(str(configs[-1])).train_cfg.get('phases', [])
    curves = dict(phase_curves(read_scalars(work_dir), phases))
    return {
        phase: {name: line for name, line in series.items() if not keys or any(k in name for k in keys)} for phase, series in curves.items()
    }

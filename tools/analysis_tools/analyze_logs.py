"""Plot losses or print average times of trainings, with the interface of MMDetection's tool:

    python tools/analysis_tools/analyze_logs.py plot_curve WORK_DIR... --keys loss_cls --out losses.png
    python tools/analysis_tools/analyze_logs.py cal_train_time WORK_DIR...

WORK_DIR may also be the scalars.json below it. Losses differ between phases, so each phase has its own plot.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import Parser
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('task', choices=['plot_curve', 'cal_train_time'])
    parser.add_argument('logs', nargs='+', type=Path, help='work dirs of trainings, or their scalars.json')
    parser.add_argument('--keys', nargs='+', help='only losses whose name contains one of these')
    parser.add_argument('--out', type=Path, default=Path('losses.png'), help='.png, .svg or .pdf (default: losses.png)')
    parser.add_argument('--log', action='store_true', help='logarithmic axis')
    return parser.parse_args(argv)


def work_dir(path: Path) -> Path:
    """The work dir of a log.

    >>> work_dir(Path('out/20250101_000000/vis_data/scalars.json')).as_posix()
    'out'
    """
    return path.parents[2] if path.suffix == '.json' and path.parent.name == 'vis_data' else path


def main(argv: list[str] | None = None) -> None:
    """Plot, or print a line per training and phase."""
    args = parse_args(argv)
    from mmlabelpenet.workbench.report.curves import phase_lines, read_scalars
    from mmlabelpenet.workbench.report.plots import plot_logs
    from mmlabelpenet.workbench.report.run import last_config

    folders = [work_dir(path) for path in args.logs]
    if args.task == 'plot_curve':
        say(f'Wrote {plot_logs(folders, args.out, args.keys, args.log)}')
        return
    for folder in folders:
        config = last_config(folder)
        if config is None:
            raise FileNotFoundError(f'{str(folder)!r} contains no training (no */vis_data/config.py).')
        for name, _, lines in phase_lines(read_scalars(folder), config):
            times = [line['time'] for line in lines if 'time' in line]
            say(f'{folder} {name}: {sum(times) / len(times):.3f} seconds per iteration' if times else f'{folder} {name}: nothing logged')


if __name__ == '__main__':
    run(main)

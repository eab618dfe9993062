"""Plot the losses of one or several trainings: python tools/analysis_tools/plot_logs.py WORK_DIR... [--out losses.png] [--keys loss_cls].

One plot per phase; line styles distinguish the trainings, colours the losses.
"""

import argparse
from pathlib import Path

from mmlabelpenet.terminal import run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', type=Path, help='work dirs of trainings, finished or not')
    parser.add_argument('--out', type=Path, default=Path('losses.png'), help='.png, .svg or .pdf (default: losses.png)')
    parser.add_argument('--keys', nargs='+', help='only losses whose name contains one of these')
    parser.add_argument('--log', action='store_true', help='logarithmic axis')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Read the logs and plot."""
    args = parse_args(argv)
    from mmlabelpenet.workbench.report.plots import plot_logs

    print(f'Wrote {plot_logs(args.work_dirs, args.out, args.keys, args.log)}')


if __name__ == '__main__':
    run(main)

"""Write report.html into a work dir: python tools/analysis_tools/report.py WORK_DIR [--test-images N] [--train-images N]."""

from mmlabelpenet.options import whole
from mmlabelpenet.terminal import new_parser, say

NAMES = ('report', 'python tools/analysis_tools/report.py')  # as a command of mmlabelpenet, and as a script


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('work_dir', help='work dir of a finished training; its metrics.json, if present, is shown as a table')
    parser.add_argument('--test-images', type=whole(0), default=8, help='number of test images shown (default: 8)')
    parser.add_argument('--train-images', type=whole(0), default=5, help='number of training images shown (default: 5)')
    args = parser.parse_args(argv)
    from mmlabelpenet.workbench.report.report import write_report

    say(f'Wrote {write_report(args.work_dir, args.test_images, args.train_images)}')

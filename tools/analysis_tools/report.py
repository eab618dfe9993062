"""Write report.html into a work dir: python tools/analysis_tools/report.py WORK_DIR [--test-images N] [--train-images N]."""

import argparse
import os
import sys


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='of a finished training; metrics.json there, if any, becomes the table')
    parser.add_argument('--test-images', type=int, default=8, help='shown (default: 8)')
    parser.add_argument('--train-images', type=int, default=5, help='shown (default: 5)')
    args = parser.parse_args(argv)
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    from mmlabelpenet.workbench.report.report import write_report

    print(f'Wrote {write_report(args.work_dir, args.test_images, args.train_images)}')


if __name__ == '__main__':
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f'Error: {error}')

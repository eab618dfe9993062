"""Measure the memory of training, phase by phase: python tools/analysis_tools/memory.py CONFIG [--size H W] [--proposals N]."""

import argparse

from mmlabelpenet.options import ConfigOptions, Parser, whole
from mmlabelpenet.terminal import run, say


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file; its data and weights are not needed')
    parser.add_argument(
        '--size', type=whole(1), nargs=2, metavar=('H', 'W'), default=(900, 1200), help='size of the images (default: 900 1200)'
    )
    parser.add_argument('--proposals', type=whole(1), default=2000, help='number of proposals per image (default: 2000)')
    parser.add_argument('--batch-size', type=whole(1), default=1, help='number of images per iteration (default: 1)')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    return parser.parse_args()


def main() -> None:
    """Measure and print a table."""
    args = parse_args()
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.workbench.experiments.memory import measure_phases

    config = load_config(args.config, args.cfg_options)
    say(f'{"phase":15}{"parameters":>12}{"trained":>12}{"optimizer":>12}{"peak":>12}   in GB')
    for phase, *sizes in measure_phases(config, tuple(args.size), args.proposals, args.batch_size):
        say(f'{phase:15}' + ''.join(f'{size / 1e9:12.2f}' for size in sizes))


if __name__ == '__main__':
    run(main)

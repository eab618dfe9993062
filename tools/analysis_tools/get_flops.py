"""Count the floating-point operations of each stage: python tools/analysis_tools/get_flops.py CONFIG [--size H W] [--proposals N].

Convolutions and matrix products are counted by PyTorch's FlopCounterMode; RoI layers, NMS and the CRF are not included.
"""

import argparse

from mmlabelpenet.options import ConfigOptions, Parser, whole
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file; neither its data nor its weights are needed')
    parser.add_argument(
        '--size', type=whole(1), nargs=2, metavar=('H', 'W'), default=(600, 800), help='size of the network input (default: 600 800)'
    )
    parser.add_argument('--proposals', type=whole(1), default=2000, help='number of proposals of a stage without RPN (default: 2000)')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Count and print a table."""
    args = parse_args(argv)
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.workbench.experiments.flops import count_flops

    say(f'{"part":15}{"GFLOPs":>10}{"parameters (M)":>18}')
    for part, flops, parameters in count_flops(load_config(args.config, args.cfg_options), tuple(args.size), args.proposals):
        say(f'{part:15}{flops / 1e9:10.2f}{parameters / 1e6:18.2f}')


if __name__ == '__main__':
    run(main)

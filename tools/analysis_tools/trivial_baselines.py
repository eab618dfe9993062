"""Evaluate trivial baselines: python tools/analysis_tools/trivial_baselines.py CONFIG [--methods largest whole random cam].

`largest` takes the largest proposal other than the whole image, `whole` the whole image, `random` a random proposal; their masks are the
filled boxes. `cam` is the thresholded class activation map of a linear image classifier with a dense CRF. The classifier is trained on the
training tags, with features of the config's backbone and, if known, the last layers of the ImageNet network; its scores rank the boxes of
every method. The threshold of `cam` is the one with the best CorLoc on every tenth training image.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import ConfigOptions, Parser, seed
from mmlabelpenet.terminal import run, say

METHODS = ('largest', 'whole', 'random', 'cam')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS), help='default: all')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the random proposals (default: 0)')
    parser.add_argument('--crf', default='small', help="preset of the CRF, or 'none' (default: small)")
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the table to this file, with values per class')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train, evaluate, print and write results."""
    args = parse_args(argv)
    from mmengine.logging import MMLogger

    from mmlabelpenet.apis import load_config
    from mmlabelpenet.evaluation import text_table
    from mmlabelpenet.workbench.baselines.score import trivial_baselines

    MMLogger.get_instance('trivial_baselines', log_level='WARNING')  # a log line for every loaded weight would hide the table
    config = load_config(args.config, args.cfg_options)
    table = trivial_baselines(config, args.methods, args.seed, None if args.crf == 'none' else args.crf, args.out)
    if table['meta']['thresholds']:
        tried = ', '.join(f'{threshold}: {value:.1f}' for threshold, value in table['meta']['thresholds'].items())
        say(f'\nCorLoc of cam on every tenth training image by threshold: {tried}')
    say(f'\n{text_table(table)}')


if __name__ == '__main__':
    run(main)

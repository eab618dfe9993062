"""Test Label-PEnet: python tools/test.py CONFIG CHECKPOINT [--stage STAGE] [--corloc] [--tta] [--out FILE] [--dump FILE.json]."""

import argparse
import gc
import os

from mmlabelpenet.mmdet_words import FLAGS
from mmlabelpenet.options import ConfigOptions, decimal
from mmlabelpenet.terminal import new_parser, say

NAMES = ('test', 'python tools/test.py')  # as a command of mmlabelpenet, and as a script


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES, instead=FLAGS)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of the training, <work dir>/iter_<n>.pth')
    parser.add_argument('--stage', default='all', help="stage to test, one of the config's model.stages (default: all)")
    parser.add_argument('--corloc', action='store_true', help='also measure CorLoc, on the training split')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation with the scales and flips of the config's tta; takes as many times longer as there are views",
    )
    parser.add_argument(
        '--out', metavar='FILE', help="FILE.json: the table, with values per class; FILE.pkl: predictions in MMDetection's format"
    )
    parser.add_argument('--show', action='store_true', help='show the detections')
    parser.add_argument(
        '--show-dir', metavar='DIR', help='write drawings of the detections to <work dir>/<time>/DIR, or to an absolute DIR'
    )
    parser.add_argument('--wait-time', type=decimal(0), default=2, metavar='SECONDS', help='seconds to show each drawing (default: 2)')
    parser.add_argument(
        '--dump',
        metavar='FILE.json',
        help='write predictions as COCO-format results for eval_predictions.py; with several stages, to FILE.<stage>.json',
    )
    parser.add_argument('--work-dir', help='folder for the log (default: work_dirs/<config name>/test)')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Test, print the table, write it."""
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    from mmlabelpenet.apis import load_config, test
    from mmlabelpenet.apis.config import default_work_dir
    from mmlabelpenet.evaluation import text_table

    gc.freeze()  # mmengine runs the garbage collector for each data set: exclude imported objects
    config = load_config(args.config, args.cfg_options)
    config.work_dir = args.work_dir or f'{default_work_dir(config)}/test'
    config.launcher = args.launcher
    table = test(config, args.checkpoint, args.stage, args.out, args.corloc, args.dump, args.tta, args.show, args.show_dir, args.wait_time)
    if int(os.environ.get('RANK', 0)) == 0:
        say(text_table(table))

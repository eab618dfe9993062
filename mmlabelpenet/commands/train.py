"""Train Label-PEnet: python tools/train.py CONFIG [--work-dir DIR] [--resume] [--cfg-options KEY=VALUE ...]."""

import argparse
import gc
import os
import sys

from mmlabelpenet.mmdet_words import FLAGS
from mmlabelpenet.options import ConfigOptions, before_config
from mmlabelpenet.terminal import new_parser

NAMES = ('train', 'python tools/train.py')  # as a command of mmlabelpenet, and as a script


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``--amp`` and ``--resume`` may precede the config."""
    parser = new_parser(__doc__, *NAMES, instead=FLAGS)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and pseudo labels (default: work_dirs/<config name>)')
    parser.add_argument('--resume', nargs='?', const='auto', help='resume from the last complete checkpoint, or from this one')
    parser.add_argument('--amp', nargs='?', const='bf16', choices=['bf16', 'fp16'], help='mixed precision; default bf16')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the number of images per update')
    parser.add_argument('--tensorboard', action='store_true', help='also write event files for TensorBoard')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args(before_config(sys.argv[1:] if argv is None else argv, {'--amp': 'bf16', '--resume': 'auto'}))


def main(argv: list[str] | None = None) -> None:
    """Build the runner from the config and train."""
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    from mmlabelpenet.apis import load_config, train
    from mmlabelpenet.apis.config import default_work_dir

    gc.freeze()  # mmengine runs the garbage collector for each data set: exclude imported objects
    config = load_config(args.config, args.cfg_options)
    config.work_dir = args.work_dir or default_work_dir(config)
    config.launcher = args.launcher
    train(config, resume=args.resume, amp=args.amp, auto_scale_lr=args.auto_scale_lr, tensorboard=args.tensorboard)

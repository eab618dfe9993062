"""Audit the supervision of a config: the files that training opens, and the supervision of its weights and proposals.

    python tools/analysis_tools/audit_supervision.py configs/labelpenet/labelpenet_vgg16_voc07.py

The whole training is run on a few images, one iteration per phase, and every opened file is recorded. The report lists these files by kind,
the supervision of pre-trained weights and proposals, and the images that training and testing share (also by content). The exit status is 0
if nothing is wrong, 1 if training opens boxes or masks or shares an image with the test, and 2 if data, proposals or weights are missing.
"""

import argparse
import contextlib
import logging
import sys

from mmlabelpenet.options import ConfigOptions, Parser, whole
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file of a training')
    parser.add_argument('--images', type=whole(1), default=4, help='number of training images to use (default: 4)')
    parser.add_argument('--data-only', action='store_true', help='load the images as training does, without building the network')
    parser.add_argument('--out', metavar='FILE.md', help='also write the report to this file')
    parser.add_argument('--cfg-options', action=ConfigOptions, help='override config keys, as for tools/train.py')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Audit and print."""
    args = parse_args(argv)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # log and progress bars keep the stream set at their import
            from mmlabelpenet.apis import load_config
            from mmlabelpenet.files import atomic_write, require_place
            from mmlabelpenet.workbench.supervision.audit import audit

            require_place(args.out)
            config = load_config(args.config, args.cfg_options)
            config.log_level = logging.getLevelName(logging.WARNING)
            card = audit(config, args.images, args.data_only)
    except (ValueError, OSError) as error:
        say(f'error: {error}', error=True)
        return 2
    images = counted(args.images, 'training image')
    how = f'loading of {images}' if args.data_only else f'training on {images}, one iteration per phase,'
    text = render(args.config, how, card)
    say(text)
    if args.out:
        with atomic_write(args.out) as file:
            file.write(text + '\n')
    return 1 if card.faults else 0


def render(config: str, how: str, card) -> str:
    """The card as Markdown."""
    lines = [f'# Supervision of {config}']
    for title, entries in card.sections(how).items():
        lines += ['', f'## {title}', '', *(f'* {entry}' for entry in entries)]
    return '\n'.join(lines)


if __name__ == '__main__':
    run(main)

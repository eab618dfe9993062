"""Measure what multiple-instance learning selects: python tools/analysis_tools/mil_mass.py CONFIG CHECKPOINT... [--plot mil.svg].

For each checkpoint, measures on the training list, whose boxes are read only for this: the area of the best box of each tag, the proposal
weight (Eq. 1) on object pixels, the entropy of these weights, the IoU of the best box with the object, and CorLoc.
"""

import argparse
import json
from pathlib import Path

from mmlabelpenet.options import ConfigOptions, Parser, whole
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoints', nargs='+', help='checkpoints of a training; several show its progress')
    parser.add_argument('--images', type=whole(1), help='number of images, evenly spread over the list (default: all)')
    parser.add_argument('--name', help="name of the run in the plot (default: the config's)")
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the numbers to this file')
    parser.add_argument('--plot', type=Path, metavar='FILE', help='plot the numbers over iterations: .svg, .png or .pdf')
    parser.add_argument('--beside', nargs='+', type=Path, default=[], metavar='FILE.json', help='also plot these runs')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    args = parser.parse_args(argv)
    if args.beside and not args.plot:
        parser.error('--beside needs --plot')
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write and plot."""
    args = parse_args(argv)
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.files import atomic_write, require_place
    from mmlabelpenet.schema import read_json
    from mmlabelpenet.workbench.experiments.mil_mass import KEYS, MassRun, mil_mass
    from mmlabelpenet.workbench.report.plots import ENDINGS, plot_mil_mass

    require_place(args.out)
    require_place(args.plot, ENDINGS)
    config = load_config(args.config, args.cfg_options)
    others = [read_json(path, MassRun, 'a result of this command') for path in args.beside]
    names = [*(run['name'] for run in others), args.name or Path(args.config).stem]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'Two of the plotted runs are named {twice[0]!r}. Name this run with --name, others in their files.')
    result = dict(mil_mass(config, args.checkpoints, args.images), name=names[-1])
    say('\n' + '  '.join(['iteration', *(f'{key:>17}' for key in KEYS)]))
    for row in result['checkpoints']:
        say('  '.join([f'{row["iteration"] if row["iteration"] is not None else "-":>9}', *(f'{row[key]:17.1f}' for key in KEYS)]))
    if args.out:
        with atomic_write(args.out) as file:
            file.write(json.dumps(result, indent=2) + '\n')
    if args.plot:
        say(f'Wrote {plot_mil_mass({run["name"]: run for run in (*others, result)}, args.plot)}')


if __name__ == '__main__':
    run(main)

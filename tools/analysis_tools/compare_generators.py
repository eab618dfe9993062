"""Compare label generators without training: python tools/analysis_tools/compare_generators.py CONFIG... --checkpoints CHECKPOINT...

The label generator of each config is applied to the same stage of the same networks, one checkpoint per seed of the first config. Its
labels of the training list are compared with the annotations, which are read only for this: share of correct boxes, mean box IoU, mean
mask IoU.

    python tools/analysis_tools/compare_generators.py CONFIG ABLATION --checkpoints SEED0.pth SEED1.pth --stage detection
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import ConfigOptions, Parser, whole
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='config files; the first is the base')
    parser.add_argument('--checkpoints', nargs='+', required=True, help='checkpoints of the base, one per seed')
    parser.add_argument('--stage', default='classification', help='stage that generates labels (default: classification)')
    parser.add_argument('--images', type=whole(1), help='number of images, evenly spread over the list (default: all)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/generators'), help='folder for the labels and the table')
    parser.add_argument('--cfg-options', action=ConfigOptions, help='override config keys of all configs')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Generate labels, compare, print and write results."""
    args = parse_args(argv)
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.files import atomic_write
    from mmlabelpenet.workbench.experiments.differences import compare_configs, comparison_markdown
    from mmlabelpenet.workbench.experiments.generator_comparison import METRICS, compare_generators

    configs = [load_config(path, args.cfg_options) for path in args.configs]
    results = compare_generators(configs, args.checkpoints, args.stage, args.out, args.images)
    text = comparison_markdown(compare_configs(results, Path(args.configs[0]).stem, METRICS))
    with atomic_write(args.out / f'{args.stage}.md') as file:
        file.write(text)
    say(f'\n{text}\nWrote {args.out / args.stage}.md')


if __name__ == '__main__':
    run(main)

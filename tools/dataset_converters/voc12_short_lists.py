"""Build the short lists of VOC 2012 (mini_*, animals_*) for the CPU configs from an official VOC 2012.

python tools/dataset_converters/voc12_short_lists.py data/VOCdevkit/VOC2012 data/VOCdevkit/VOC2012mini
"""

from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def main(argv: list[str] | None = None) -> None:
    """Write the folder, and report its content."""
    parser = Parser(description=__doc__)
    parser.add_argument('official', help='VOC 2012 with the images, annotations and segmentations of trainval')
    parser.add_argument('out', help='the new folder')
    parser.add_argument(
        '--masks',
        choices=('derived', 'official'),
        default='derived',
        help='instance masks for testing: derived from class masks and boxes, as in our published results on these lists, '
        'or the official ones (default: derived)',
    )
    args = parser.parse_args(argv)

    from mmlabelpenet.workbench.short_lists.build import build_short_lists

    counts = build_short_lists(args.official, args.out, args.masks)
    say(f'{args.out}: ' + ', '.join(f'{counted(count, "image")} in {split}' for split, count in counts.items()))


if __name__ == '__main__':
    run(main)

"""Join the training lists of several years of VOC into one devkit; its test list is that of the first year.

python tools/dataset_converters/join_voc.py data/VOCdevkit/VOC2007 data/VOCdevkit/VOC2012 data/VOCdevkit/VOC0712
"""

from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def main(argv: list[str] | None = None) -> None:
    """Write the folder, and report its content."""
    parser = Parser(description=__doc__)
    parser.add_argument('roots', nargs='+', help='devkits, such as data/VOCdevkit/VOC2007')
    parser.add_argument('out', help='the new folder')
    parser.add_argument('--joint', default='trainval', help='the joined list (default: %(default)s)')
    parser.add_argument('--first', default='test', help='list that only the first devkit provides (default: %(default)s)')
    args = parser.parse_args(argv)

    from mmlabelpenet.workbench.join_voc import join_devkits

    counts = join_devkits(args.roots, args.out, args.joint, args.first)
    say(f'{args.out}: ' + ', '.join(f'{counted(count, "image")} in {split}' for split, count in counts.items()))


if __name__ == '__main__':
    run(main)

"""Write archives for the PASCAL VOC evaluation server from COCO-format results, or check those of any program.

    python tools/analysis_tools/voc_submission.py write comp4 data/VOCdevkit/VOC2012 test results.json comp4.tar.gz
    python tools/analysis_tools/voc_submission.py check comp4.tar.gz data/VOCdevkit/VOC2012 test

comp3 (detection) and comp5 (segmentation) are for methods trained only on VOC's data; a network that starts from ImageNet weights belongs
to comp4 and comp6. Only image lists and images of the devkit are read. tools/test.py --dump writes the results.
"""

import argparse

from mmlabelpenet.options import Parser, decimal
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    write = commands.add_parser('write', help='write an archive, which is checked before it gets its final name')
    write.add_argument('competition', choices=['comp3', 'comp4', 'comp5', 'comp6'])
    check = commands.add_parser('check', help='read and check an archive like the server')
    check.add_argument('archive', help='.tar.gz')
    for command in (write, check):
        command.add_argument('devkit', help='folder with JPEGImages/ and ImageSets/, such as data/VOCdevkit/VOC2012')
        command.add_argument('split', help='image list')
    write.add_argument('predictions', help='COCO-format results of its images')
    write.add_argument('archive', help='ends in .tar.gz')
    write.add_argument('--year', help="year, such as VOC2012 (default: name of the devkit's folder)")
    write.add_argument('--score-thr', type=decimal(0, 1), default=0.3, help='minimum score of an instance in a semantic map (default: 0.3)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write or check an archive."""
    args = parse_args(argv)
    from mmlabelpenet.datasets.voc import VOC_CLASSES
    from mmlabelpenet.evaluation.coco_results import ResultsFile
    from mmlabelpenet.evaluation.voc import VOCDevkit
    from mmlabelpenet.workbench.exports.voc_server import check_submission, write_submission

    devkit = VOCDevkit(args.devkit, VOC_CLASSES)
    if args.command == 'write':
        results = ResultsFile(args.predictions, devkit.result_names(args.split), devkit.image_size)
        found = write_submission(args.archive, args.competition, devkit, args.split, results, args.year, args.score_thr)
    else:
        found = check_submission(args.archive, devkit, args.split)
    kind = 'detections' if found.competition in ('comp3', 'comp4') else 'class maps'
    say(f'{args.archive}: {found.competition}, {found.year} {found.split}, {found.entries} {kind}; complete and readable')


if __name__ == '__main__':
    run(main)

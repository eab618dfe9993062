"""Export pseudo labels in the format of another program: python tools/export_pseudo_labels.py STORE --format yolo --images DIR --out DIR.

STORE is <work dir>/pseudo_labels/<stage>.json, or a labels.json written by own_data.py export or mmlabelpenet.predict.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import decimal, seed, share, whole
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import new_parser, say

NAMES = ('export', 'python tools/export_pseudo_labels.py')  # as a command of mmlabelpenet, and as a script
FORMATS = ('coco', 'yolo', 'voc', 'labelme')
_POLYGONS = ('coco', 'labelme')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('store', type=Path, help='label store')
    parser.add_argument('--format', choices=FORMATS, required=True)
    parser.add_argument('--out', type=Path, required=True, help='output folder; unchanged files of an earlier export are replaced')
    parser.add_argument('--images', type=Path, help='folder of the images, such as data/VOCdevkit/VOC2012/JPEGImages (optional for coco)')
    parser.add_argument('--min-weight', type=decimal(0, 1), default=0.0, help='exclude instances with a lower weight (default: 0)')
    parser.add_argument('--top-k', type=whole(0), default=0, help='number of instances kept per image, by weight; 0 for all (default: 0)')
    parser.add_argument('--need-mask', action='store_true', help='exclude instances that have only a box')
    parser.add_argument('--keep-empty', action='store_true', help='keep images without instances, as background')
    parser.add_argument(
        '--val-share', type=share, default=0.0, help='fraction of the images used for validation (default: 0; not for labelme)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='random seed of the split (default: 0)')
    parser.add_argument('--boxes', action='store_true', help='yolo: boxes for detectors instead of polygons')
    parser.add_argument(
        '--masks',
        choices=('pixels', 'polygon'),
        default='pixels',
        help='coco, labelme: exact masks (RLE in coco), or polygons, which all programs can read (default: pixels)',
    )
    args = parser.parse_args(argv)
    if args.images is None and args.format != 'coco':
        parser.error(f'--format {args.format} needs the images: pass --images')
    if args.images is not None and args.images.resolve().is_relative_to(args.out.resolve()):
        parser.error('--images is inside --out: choose another --out')
    if args.masks == 'polygon' and args.format not in _POLYGONS:
        parser.error(f'--masks polygon is only for {" and ".join(_POLYGONS)}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Select and write labels, and report what was excluded."""
    args = parse_args(argv)
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.workbench.exports.formats import write_export
    from mmlabelpenet.workbench.exports.labels import choose_labels, told

    needs_mask = args.need_mask or (args.format == 'yolo' and not args.boxes)
    labels = choose_labels(PseudoLabelStore.load(args.store), args.min_weight, args.top_k, needs_mask, args.keep_empty)
    options = {} if args.format == 'labelme' else dict(val_share=args.val_share, seed=args.seed)
    if args.format in _POLYGONS:
        options['polygons'] = args.masks == 'polygon'
    elif args.format == 'yolo':
        options['boxes'] = args.boxes
    kept = write_export(args.format, labels, args.out, args.images, **options)
    count = sum(map(len, labels.annotations.values()))
    say(f'{counted(count, "instance")} of {counted(len(labels.classes), "class")} in {counted(len(labels.images), "image")}: {args.out}')
    if kept:
        say(f'kept because they were corrected by hand: {counted(len(kept), "file")}, the first is {kept[0]}')
    if labels.left_out:
        say(f'left out: {told(labels.left_out)}')

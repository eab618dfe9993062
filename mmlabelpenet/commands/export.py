"""Write pseudo labels in another program's format: python tools/export_pseudo_labels.py STORE --format yolo --images DIR --out DIR.

STORE is <work dir>/pseudo_labels/<stage>.json, or the labels.json that own_data.py export and mmlabelpenet.predict write.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import decimal, seed, whole
from mmlabelpenet.terminal import new_parser, say

NAMES = ('export', 'python tools/export_pseudo_labels.py')  # as a command of mmlabelpenet, and by its script
FORMATS = ('coco', 'yolo', 'voc', 'labelme')
_POLYGONS = ('coco', 'labelme')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('store', type=Path, help='label store')
    parser.add_argument('--format', choices=FORMATS, required=True)
    parser.add_argument('--out', type=Path, required=True, help='folder to write; unchanged files of an earlier export are replaced')
    parser.add_argument('--images', type=Path, help='folder of the images, such as data/VOCdevkit/VOC2012/JPEGImages (coco: may be absent)')
    parser.add_argument('--min-weight', type=decimal(0, 1), default=0.0, help='exclude instances with a lower weight (default: 0)')
    parser.add_argument('--top-k', type=whole(0), default=0, help='instances kept per image, by weight; 0 for all (default: 0)')
    parser.add_argument('--need-mask', action='store_true', help='exclude instances that have only a box')
    parser.add_argument('--keep-empty', action='store_true', help='keep images without instances, as background')
    parser.add_argument(
        '--val-share', type=decimal(0, 1), default=0.0, help='share of the images for validation (default: 0; not for labelme)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='seed of the split (default: 0)')
    parser.add_argument('--boxes', action='store_true', help='yolo: boxes for detectors in place of polygons')
    parser.add_argument(
        '--masks',
        choices=('pixels', 'polygon'),
        default='pixels',
        help='coco, labelme: masks pixel by pixel (run lengths in coco), or as polygons, which all programs read (default: pixels)',
    )
    args = parser.parse_args(argv)
    if args.images is None and args.format != 'coco':
        parser.error(f'--format {args.format} needs the images: give --images')
    if args.images is not None and args.images.resolve().is_relative_to(args.out.resolve()):
        parser.error('--images is inside of --out: choose another --out')
    if args.masks == 'polygon' and args.format not in _POLYGONS:
        parser.error(f'--masks polygon is for {" and ".join(_POLYGONS)}')
    if args.val_share == 1:
        parser.error('--val-share leaves nothing to train with: give less than 1')
    return args


def main(argv: list[str] | None = None) -> None:
    """Choose, write, and report what was left out."""
    args = parse_args(argv)
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.workbench.exports.formats import write_export
    from mmlabelpenet.workbench.exports.labels import choose_labels

    needs_mask = args.need_mask or (args.format == 'yolo' and not args.boxes)
    labels = choose_labels(PseudoLabelStore.load(args.store), args.min_weight, args.top_k, needs_mask, args.keep_empty)
    options = {} if args.format == 'labelme' else dict(val_share=args.val_share, seed=args.seed)
    if args.format in _POLYGONS:
        options['polygons'] = args.masks == 'polygon'
    elif args.format == 'yolo':
        options['boxes'] = args.boxes
    kept = write_export(args.format, labels, args.out, args.images, **options)
    count = sum(map(len, labels.annotations.values()))
    say(f'{count} instances of {len(labels.classes)} classes in {len(labels.images)} images: {args.out}')
    if kept:
        say(f'kept because they were corrected by hand: {len(kept)} files, the first is {kept[0]}')
    if labels.left_out:
        say('left out: ' + ', '.join(f'{number} {what}' for what, number in labels.left_out.items()))

"""Write pseudo labels in another program's format: python tools/export_pseudo_labels.py STORE --format yolo --images DIR --out DIR.

STORE is <work dir>/pseudo_labels/<stage>.json, or the labels.json that own_data.py export and mmlabelpenet.predict write.
"""

import argparse
import sys
from pathlib import Path

FORMATS = ('coco', 'yolo', 'voc', 'labelme')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store', type=Path, help='pseudo-label store')
    parser.add_argument('--format', choices=FORMATS, required=True)
    parser.add_argument('--out', type=Path, required=True, help='folder to write; an earlier export there is replaced')
    parser.add_argument(
        '--images', type=Path, help='folder of the pictures, such as data/VOCdevkit/VOC2012/JPEGImages (coco: may be absent)'
    )
    parser.add_argument('--min-weight', type=float, default=0.0, help='leave out lighter instances (default: 0)')
    parser.add_argument('--top-k', type=int, default=0, help='only the heaviest so many instances of an image, 0 for all (default: 0)')
    parser.add_argument('--need-mask', action='store_true', help='leave out instances that have a box only')
    parser.add_argument('--keep-empty', action='store_true', help='keep images without instances, as background')
    parser.add_argument('--val-share', type=float, default=0.0, help='share of the images for validation (default: 0; not for labelme)')
    parser.add_argument('--seed', type=int, default=0, help='of the division (default: 0)')
    parser.add_argument('--boxes', action='store_true', help='yolo: boxes for detectors in place of polygons')
    args = parser.parse_args(argv)
    if args.images is None and args.format != 'coco':
        parser.error(f'--format {args.format} needs the pictures: give --images')
    if args.images is not None and args.images.resolve().is_relative_to(args.out.resolve()):
        parser.error('--images lies in --out, which is replaced: choose another --out')
    if args.top_k < 0 or not 0 <= args.val_share < 1:
        parser.error('--top-k is at least 0 and --val-share in [0, 1)')
    return args


def main(argv: list[str] | None = None) -> None:
    """Choose, write, and say what was left out."""
    args = parse_args(argv)
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.workbench.exports import formats

    needs_mask = args.need_mask or (args.format == 'yolo' and not args.boxes)
    store = PseudoLabelStore.load(args.store)
    labels = formats.choose_labels(store, args.min_weight, args.top_k, needs_mask, args.keep_empty)
    formats.remove_export(args.out)
    divided = dict(val_share=args.val_share, seed=args.seed)
    if args.format == 'labelme':
        written = formats.write_labelme(labels, args.out, args.images)
    elif args.format == 'yolo':
        written = formats.write_yolo(labels, args.out, args.images, **divided, boxes=args.boxes)
    else:
        write = formats.write_coco if args.format == 'coco' else formats.write_voc
        written = write(labels, args.out, args.images, **divided)
    count = sum(map(len, labels.annotations.values()))
    print(f'{count} instances of {len(labels.classes)} classes in {len(labels.images)} images: {written[0]}')
    if labels.left_out:
        print('left out: ' + ', '.join(f'{number} {what}' for what, number in labels.left_out.items()))


if __name__ == '__main__':
    try:
        main()
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        sys.exit(f'Error: {error}')

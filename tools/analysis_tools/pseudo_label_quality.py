"""Compare pseudo labels with the annotations of the training images, which training never reads.

    python tools/analysis_tools/pseudo_label_quality.py work_dirs/run/pseudo_labels data/VOCdevkit/VOC2012
    python tools/analysis_tools/pseudo_label_quality.py work_dirs/run/pseudo_labels/detection.json data/VOCdevkit/VOC2012 --out quality.json

One row per store, that is, per stage that generates labels: precision, recall, mean box IoU and mean mask IoU, unweighted and weighted by
the loss weights of the instances. With --out, also per class.
"""

import argparse
import time
from pathlib import Path

from mmlabelpenet.options import Parser, decimal
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('stores', nargs='+', help='label stores (.json), or folders of them; the last argument is the devkit')
    parser.add_argument('devkit', help='folder of the annotated data set, such as data/VOCdevkit/VOC2012 or data/coco')
    parser.add_argument('--mask-classes', nargs='+', help="classes of the indices in SegmentationClass (default: VOC's, or the store's)")
    parser.add_argument('--iou-thr', type=decimal(0, 1), default=0.5, help='minimum box IoU of a correct label (default: 0.5)')
    parser.add_argument('--per-class', action='store_true', help='also print a table per class for each store')
    parser.add_argument('--out', metavar='FILE.json', help='write the table, also per class, to this file')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write results."""
    args = parse_args(argv)
    from mmlabelpenet.apis.receipt import receipt
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.evaluation.devkit import open_devkit
    from mmlabelpenet.evaluation.table import markdown, markdown_table, write_metrics
    from mmlabelpenet.files import file_hash, require_place
    from mmlabelpenet.workbench.experiments.store_quality import store_quality
    from mmlabelpenet.workbench.report.run import find_stores

    require_place(args.out)
    start, table, stores = time.monotonic(), {}, {}
    for path in [path for place in args.stores for path in find_stores(place).values()]:
        store = PseudoLabelStore.load(path)
        classes = list(store.classes)
        name = str(store.header.get('stage') or path.stem)
        name = name if name not in table else str(path)
        table[name], counts = store_quality(store, open_devkit(args.devkit, classes, args.mask_classes), args.iou_thr)
        stores[name] = dict(path=str(path), sha256=file_hash(path), split=store.header.get('split'), **counts)
    say(f'labels of each stage compared with {args.devkit}, percent:\n\n{markdown_table(table)}\n')
    for name, about in stores.items():
        say(f'{name}: ' + ', '.join(f'{key} {value}' for key, value in about.items() if key not in ('path', 'sha256')))
        if args.per_class:
            rows = [[key, *('-' if v is None else f'{v:.1f}' for v in row.values())] for key, row in table[name]['per_class'].items()]
            say('\n' + markdown([name, *next(iter(table[name]['per_class'].values()))], rows) + '\n')
    if args.out:
        meta = dict(protocol='pseudo labels', data=Path(args.devkit).resolve().name, iou_thr=args.iou_thr, stores=stores)
        write_metrics(args.out, table, {**meta, **receipt(start)})


if __name__ == '__main__':
    run(main)

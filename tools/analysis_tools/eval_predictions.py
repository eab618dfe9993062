"""Evaluate COCO-format results of any program with the paper's metrics.

    python tools/analysis_tools/eval_predictions.py data/VOCdevkit/VOC2012 val results.json --out metrics.json

RESULTS.json is a list of entries ``{"image_id": "2007_000033", "category_id": 1, "bbox": [x, y, w, h], "score": 0.9,
"segmentation": {"size": [h, w], "counts": "..."}}``: image_id is the VOC id (a string), category_id the 1-based index of the class in
--classes or its name; for COCO, both are COCO's own ids. bbox is in 0-based pixels with exclusive right and bottom edge; either bbox or
segmentation may be omitted. tools/test.py --dump writes such files. docs/evaluation.md has all rules.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from mmlabelpenet.options import Parser, decimal
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('devkit', help='folder of the data set, in VOC layout such as data/VOCdevkit/VOC2012, or data/coco')
    parser.add_argument('split', help='image list; an image without an entry has no predictions')
    parser.add_argument('predictions', help='COCO-format results, a JSON list')
    parser.add_argument('--classes', nargs='+', help="names in the order of category_id (default: VOC's 20, COCO's 80)")
    parser.add_argument('--protocol', choices=['test', 'corloc'], default='test', help="'corloc': CorLoc of a training split")
    parser.add_argument(
        '--box-iou-thrs',
        type=decimal(0, 1),
        nargs='+',
        default=[0.5],
        metavar='IOU',
        help='IoU thresholds of box AP; the first is also used for CorLoc',
    )
    parser.add_argument(
        '--mask-iou-thrs', type=decimal(0, 1), nargs='+', default=[0.25, 0.5, 0.7, 0.75], metavar='IOU', help='IoU thresholds of mask AP'
    )
    parser.add_argument('--legacy', action='store_true', help='inclusive box edges ("+1" widths); keys then end in _legacy')
    parser.add_argument(
        '--semantic-score-thr', type=decimal(0, 1), default=0.3, help='minimum score of an instance in the semantic map of mIoU'
    )
    parser.add_argument('--name', default='predictions', help='name of the row')
    parser.add_argument('--out', metavar='FILE.json', help='write the table to this file, with values per class')
    return parser.parse_args(argv)


def evaluate(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate image by image; returns the table and its provenance."""
    from mmlabelpenet.apis.receipt import receipt
    from mmlabelpenet.evaluation.coco_results import ResultsFile
    from mmlabelpenet.evaluation.devkit import open_devkit
    from mmlabelpenet.evaluation.metrics import PROTOCOLS, read_truth
    from mmlabelpenet.evaluation.scoring import Settings, score_image, summarise
    from mmlabelpenet.evaluation.table import make_row
    from mmlabelpenet.files import file_hash
    from mmlabelpenet.progress import track

    start = time.monotonic()
    measured = {name: getattr(args, name) for name in ('semantic_score_thr', 'legacy')}
    measured |= {name: tuple(getattr(args, name)) for name in ('box_iou_thrs', 'mask_iou_thrs')}
    devkit = open_devkit(args.devkit, args.classes)
    settings = Settings(len(devkit.classes), groups=PROTOCOLS[args.protocol], **measured)
    image_ids = devkit.image_ids(args.split)
    results = ResultsFile(args.predictions, devkit.result_names(args.split), devkit.image_size)
    records, masked, mapped = [], 0, 0
    for image_id in track(image_ids, 'images'):
        truth = read_truth(devkit, image_id, settings)
        masked, mapped = masked + (truth.masks is not None), mapped + (truth.class_mask is not None)
        records.append(score_image(results.prediction(image_id), truth, settings))
    about = dict(protocol=args.protocol, data=Path(args.devkit).resolve().name, split=args.split, images=len(image_ids))
    about |= dict(images_with_instance_masks=masked, images_with_class_masks=mapped, **measured)
    meta = {
        **about,
        'predictions': args.predictions,
        'predictions_sha256': file_hash(args.predictions),
        'entries': results.num_entries,
        **receipt(start),
    }
    return {args.name: make_row(summarise(records, settings), devkit.classes)}, meta


def main(argv: list[str] | None = None) -> None:
    """Evaluate, print and write results."""
    args = parse_args(argv)
    from mmlabelpenet.evaluation.table import text_table, write_metrics
    from mmlabelpenet.files import require_place

    require_place(args.out)
    table, meta = evaluate(args)
    columns = [key for key, value in table[args.name].items() if key != 'per_class' and value is not None]
    say(f'\n{meta["protocol"]} on {args.split}, {counted(meta["images"], "image")}, percent:')
    for key in columns:
        say(f'  {key:<34} {table[args.name][key]:6.2f}')
    if not columns:
        say(text_table(table))
    if args.out:
        write_metrics(args.out, table, meta)


if __name__ == '__main__':
    run(main)

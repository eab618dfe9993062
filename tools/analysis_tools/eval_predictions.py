"""Score COCO-format results of any program by the paper's measures.

    python tools/analysis_tools/eval_predictions.py data/VOCdevkit/VOC2012 val results.json --out metrics.json

RESULTS.json is a list of entries ``{"image_id": "2007_000033", "category_id": 1, "bbox": [x, y, w, h], "score": 0.9,
"segmentation": {"size": [h, w], "counts": "..."}}``: image_id is the VOC id (a string), category_id the 1-based place of the class in
--classes or its name, bbox in 0-based pixels with exclusive right and bottom edge; bbox or segmentation may be missing. The whole
rules: mmlabelpenet/evaluation/coco_results.py.
"""

import argparse
import sys

from mmengine.utils import track_iter_progress

from mmlabelpenet.datasets.voc import VOC_CLASSES, VOCDevkit
from mmlabelpenet.evaluation.coco_results import ResultsFile
from mmlabelpenet.evaluation.metrics import PROTOCOLS, read_truth
from mmlabelpenet.evaluation.scoring import Settings, score_image, summarise
from mmlabelpenet.evaluation.table import make_row, text_table, write_metrics


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('devkit', help='folder with Annotations/, JPEGImages/ and ImageSets/, such as data/VOCdevkit/VOC2012')
    parser.add_argument('split', help='image list; each of its images is scored, also those without an entry')
    parser.add_argument('predictions', help='COCO-format results, a JSON list')
    parser.add_argument('--classes', nargs='+', default=list(VOC_CLASSES), help="names in the order of category_id (default: VOC's 20)")
    parser.add_argument('--protocol', choices=list(PROTOCOLS), default='test', help="'corloc': CorLoc of a training split")
    parser.add_argument(
        '--semantic-score-thr', type=float, default=0.3, help='score from which on an instance enters the class map of mIoU'
    )
    parser.add_argument('--name', default='predictions', help='name of the row')
    parser.add_argument('--out', help='write the table, per class too, to this JSON file')
    return parser.parse_args(arguments)


def evaluate(args: argparse.Namespace) -> tuple[dict, dict]:
    """Score image by image; return the table and what it rests on."""
    devkit = VOCDevkit(args.devkit, args.classes)
    settings = Settings(len(args.classes), groups=PROTOCOLS[args.protocol], semantic_score_thr=args.semantic_score_thr)
    image_ids = devkit.image_ids(args.split)
    results = ResultsFile(args.predictions, args.classes, image_ids, devkit.image_size)
    records, masked, mapped = [], 0, 0
    for image_id in track_iter_progress(image_ids, file=sys.stderr):
        truth = read_truth(devkit, image_id, settings)
        masked, mapped = masked + (truth.masks is not None), mapped + (truth.class_mask is not None)
        records.append(score_image(results.prediction(image_id), truth, settings))
    meta = {
        'protocol': args.protocol,
        'split': args.split,
        'images': len(image_ids),
        'images_with_instance_masks': masked,
        'images_with_class_masks': mapped,
        'semantic_score_thr': args.semantic_score_thr,
        'predictions': args.predictions,
        'entries': results.num_entries,
    }
    return {args.name: make_row(summarise(records, settings), args.classes)}, meta


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    try:
        table, meta = evaluate(args)
    except (ValueError, FileNotFoundError) as error:
        print(f'\nerror: {error}', file=sys.stderr)
        return 1
    columns = [key for key, value in table[args.name].items() if key != 'per_class' and value is not None]
    print(f'\n{meta["protocol"]} on {args.split}, {meta["images"]} images, percent:')
    for key in columns:
        print(f'  {key:<28} {table[args.name][key]:6.2f}')
    if not columns:
        print(text_table(table))
    if args.out:
        write_metrics(args.out, table, meta)
    return 0


if __name__ == '__main__':
    sys.exit(main())

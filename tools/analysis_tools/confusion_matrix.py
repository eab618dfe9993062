"""Draw the confusion matrix of classes: python tools/analysis_tools/confusion_matrix.py CONFIG PREDICTIONS.json [--out confusion.png].

PREDICTIONS.json is written by

    python tools/test.py CONFIG CHECKPOINT --stage detection --dump PREDICTIONS.json
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import ConfigOptions, Parser, decimal
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('predictions', type=Path, help='COCO-format results of one stage')
    parser.add_argument('--out', type=Path, default=Path('confusion.png'), help='.png, .svg or .pdf (default: confusion.png)')
    parser.add_argument('--score-thr', type=decimal(0, 1), default=0.3, help='minimum score of a detection (default: 0.3)')
    parser.add_argument('--tp-iou-thr', type=decimal(0, 1), default=0.5, help='minimum IoU of boxes (default: 0.5)')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Count, print and draw."""
    args = parse_args(argv)
    if args.predictions.suffix in ('.pkl', '.pickle'):
        raise ValueError(
            f'{args.predictions} is a pickle, which can execute code. Write JSON instead: tools/test.py '
            'CONFIG CHECKPOINT --dump preds.json.'
        )
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.apis.config import config_devkit, config_split
    from mmlabelpenet.evaluation.coco_results import ResultsFile
    from mmlabelpenet.evaluation.confusion import confusion
    from mmlabelpenet.evaluation.metrics import read_truth
    from mmlabelpenet.evaluation.scoring import Settings
    from mmlabelpenet.files import require_place
    from mmlabelpenet.workbench.report.plots import ENDINGS, draw_confusion

    require_place(args.out, ENDINGS)
    config = load_config(args.config, args.cfg_options)
    devkit, split = config_devkit(config, 'test'), config_split(config, 'test')
    results = ResultsFile(args.predictions, devkit.result_names(split), devkit.image_size)
    settings, count = Settings(len(devkit.classes), groups=('bbox',)), len(devkit.classes)
    counts = sum(
        confusion(results.prediction(image_id), read_truth(devkit, image_id, settings), count, args.score_thr, args.tp_iou_thr)
        for image_id in devkit.image_ids(split)
    )
    say(f'{counted(counts.diagonal().sum(), "object", "is", of=counts[:-1].sum())} detected with the correct class.')
    say(f'Wrote {draw_confusion(counts, devkit.classes, args.out)}')


if __name__ == '__main__':
    run(main)

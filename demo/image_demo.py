"""Predict boxes and masks of images, like MMDetection's demo: python demo/image_demo.py INPUTS MODEL --weights CHECKPOINT.

INPUTS is an image, a folder or a glob pattern. MODEL is a config (with --weights) or the work dir of a training. Drawn images go to
OUT_DIR/vis, predictions to OUT_DIR/preds: one JSON file per image with labels, scores, bboxes and masks as RLE.
"""

import argparse
import json
from pathlib import Path

from mmlabelpenet.options import Parser
from mmlabelpenet.terminal import run, say


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        instead={'--palette': 'the fixed class colours', '--show': '--out-dir DIR and open DIR/vis'},
    )
    parser.add_argument('inputs', help='image, folder or glob pattern')
    parser.add_argument('model', help='config or work dir')
    parser.add_argument('--weights', help='checkpoint (default: the last one of the work dir)')
    parser.add_argument('--out-dir', type=Path, default=Path('outputs'), help='default: outputs')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    parser.add_argument('--pred-score-thr', type=float, default=0.3, help='minimum score (default: 0.3)')
    parser.add_argument('--batch-size', type=int, default=1, help='images per pass (default: 1)')
    parser.add_argument('--stage', help='stage that predicts (default: the last one)')
    parser.add_argument('--no-save-vis', action='store_true', help='do not draw')
    parser.add_argument('--no-save-pred', action='store_true', help='do not write predictions')
    parser.add_argument('--print-result', action='store_true', help='print the predictions')
    return parser.parse_args()


def main() -> None:
    """Predict, draw and write."""
    args = parse_args()
    from mmdet.structures.mask import encode_mask_results

    from mmlabelpenet.apis import LabelPENetInferencer
    from mmlabelpenet.files import atomic_write
    from mmlabelpenet.workbench.exports.images import jpeg_bytes

    inferencer = LabelPENetInferencer(args.model, args.weights, args.device)
    for found in inferencer.stream(args.inputs, stage=args.stage, min_score=args.pred_score_thr, batch_size=args.batch_size):
        content = dict(labels=found.labels.tolist(), scores=found.scores.tolist(), bboxes=found.bboxes.tolist())
        content['masks'] = [dict(code, counts=code['counts'].decode()) for code in encode_mask_results(found.masks)]
        if not args.no_save_vis:
            with atomic_write(args.out_dir / f'vis/{found.image_id}.jpg', 'wb') as file:
                file.write(jpeg_bytes(found.draw(), quality=90))
        if not args.no_save_pred:
            with atomic_write(args.out_dir / f'preds/{found.image_id}.json') as file:
                file.write(json.dumps(content))
        if args.print_result:
            say(f'{found.image_id}: {json.dumps(content)}')
    if not (args.no_save_vis and args.no_save_pred):
        say(f'Results are in {args.out_dir}')


if __name__ == '__main__':
    run(main)

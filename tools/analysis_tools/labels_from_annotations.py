"""Write annotated boxes and masks as a label store, to measure the effect of perfect labels.

    python tools/analysis_tools/labels_from_annotations.py CONFIG work_dirs/perfect.json
    python tools/train.py CONFIG --cfg-options train_cfg.phases.detection.pseudo_labels=work_dirs/perfect.json

Data set, classes and image list are those of the config's training split. A training that reads such a store is supervised by boxes and
masks, as tools/analysis_tools/audit_supervision.py reports.
"""

import argparse

from mmlabelpenet.options import Parser, decimal
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config of the training whose images are labelled')
    parser.add_argument('out', help='label store to write, .json')
    parser.add_argument(
        '--min-iou', type=decimal(0, 1), default=0.5, help='minimum box IoU for assigning a mask to an object (default: 0.5)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Read annotations and write the store."""
    args = parse_args(argv)
    from mmlabelpenet.apis.config import config_devkit, config_split, load_config
    from mmlabelpenet.files import require_place
    from mmlabelpenet.workbench.supervision.labels_from_annotations import labels_from_annotations

    require_place(args.out, ['.json'])
    config = load_config(args.config)
    store = labels_from_annotations(config_devkit(config), config_split(config), args.out, args.min_iou)
    say(f'{args.out}: {store.summary()}')


if __name__ == '__main__':
    run(main)

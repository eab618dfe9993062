"""Write an HTML page to browse pseudo labels: python tools/analysis_tools/browse_pseudo_labels.py work_dirs/quickstart/pseudo_labels.

STORE is a label store or a folder of stores. In a work dir, images, tags and annotations are found through its config.
The page is a single file. It can be sorted by lowest weight, disagreement of the stages or worst IoU, and filtered by class, stage and
weight.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import whole
from mmlabelpenet.terminal import new_parser, say

NAMES = ('browse', 'python tools/analysis_tools/browse_pseudo_labels.py')  # as a command of mmlabelpenet, and as a script


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('store', type=Path, help='<stage>.json, labels.json, or <work dir>/pseudo_labels')
    parser.add_argument('--images', type=Path, help='folder of the images (default: from the work dir)')
    parser.add_argument(
        '--devkit',
        type=Path,
        help='annotated data set to compute IoU with, such as data/coco (default: from the work dir)',
    )
    parser.add_argument('--out', type=Path, help='page to write (default: browse.html next to the store)')
    parser.add_argument('--width', type=whole(16), default=256, help='width of the images in the page (default: 256)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Collect the data and write the page."""
    args = parse_args(argv)
    from mmlabelpenet.apis.config import config_devkit, inner_datasets
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.evaluation.devkit import open_devkit
    from mmlabelpenet.files import require_place
    from mmlabelpenet.workbench.report.browser import write_browser
    from mmlabelpenet.workbench.report.run import find_stores, last_config

    require_place(args.out)
    stores = {stage: PseudoLabelStore.load(path) for stage, path in find_stores(args.store).items()}
    folder = args.store if args.store.is_dir() else args.store.parent
    config = last_config(folder.resolve().parent)
    if args.images is None and args.devkit is None and config is None:
        raise ValueError('The store is not in a work dir: pass the folder of its images with --images.')
    classes = next(iter(stores.values())).classes
    devkit = open_devkit(args.devkit, classes) if args.devkit else config_devkit(config) if config else None
    dataset = inner_datasets(config.train_dataloader.dataset)[0] if config else None
    tags = devkit.tags(dataset.split, dataset.get('tags', 'lists')) if devkit and dataset else None
    out = args.out or folder / 'browse.html'
    write_browser(out, stores, args.images, devkit, tags, args.width)
    say(f'Wrote {out} ({out.stat().st_size / 2**20:.1f} MiB). Open it in a browser.')

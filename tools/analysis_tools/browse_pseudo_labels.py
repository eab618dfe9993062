"""Make a page to look through pseudo labels: python tools/analysis_tools/browse_pseudo_labels.py work_dirs/quickstart/pseudo_labels.

STORE is a store or a folder of the stages' stores. Inside of a work dir, pictures, tags and annotations are found by its config.
The page is one file. Sort it by lowest weight, disagreement of the stages or worst IoU, filter it by class, stage and weight.
"""

import argparse
import os
import sys
from pathlib import Path

STAGES = ('classification', 'detection', 'refinement', 'segmentation')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store', type=Path, help='<stage>.json, labels.json, or <work dir>/pseudo_labels')
    parser.add_argument('--images', type=Path, help='folder of the pictures (default: that of the work dir)')
    parser.add_argument('--devkit', type=Path, help='folder in VOC layout with annotations, to show IoU (default: that of the work dir)')
    parser.add_argument('--out', type=Path, help='page to write (default: browse.html beside the store)')
    parser.add_argument('--width', type=int, default=256, help='of the pictures in the page (default: 256)')
    return parser.parse_args(argv)


def find_stores(path: Path) -> dict[str, Path]:
    """Stores by stage.

    Raises:
        FileNotFoundError: there is none.
    """
    found = (
        {stage: path / f'{stage}.json' for stage in STAGES if (path / f'{stage}.json').is_file()} if path.is_dir() else {path.stem: path}
    )
    if not found or not all(file.is_file() for file in found.values()):
        raise FileNotFoundError(f'{str(path)!r} is neither a pseudo-label store nor a folder of them.')
    return found


def of_work_dir(store: Path) -> dict | None:
    """The config's training data set, where the store lies in a work dir."""
    folder = (store if store.is_dir() else store.parent).resolve()
    configs = sorted(folder.parent.glob('*/vis_data/config.py'))
    if not configs:
        return None
    from mmlabelpenet.apis import load_config

    return load_config(configs[-1]).train_dataloader.dataset


def main(argv: list[str] | None = None) -> None:
    """Collect what is there and write the page."""
    args = parse_args(argv)
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    files = find_stores(args.store)
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.datasets.voc import VOCDevkit
    from mmlabelpenet.workbench.report.browser import write_browser

    stores = {stage: PseudoLabelStore.load(path) for stage, path in files.items()}
    first = next(iter(stores.values()))
    dataset = of_work_dir(args.store)
    root = args.devkit or (Path(dataset.data_root) if dataset else None)
    images = args.images or (root / 'JPEGImages' if root else None)
    if images is None:
        raise ValueError('The store lies in no work dir: give the folder of its pictures with --images.')
    devkit = VOCDevkit(root, [category['name'] for category in first.content['categories']]) if root else None
    tags = devkit.tags(dataset.split, dataset.get('tags', 'lists')) if devkit and dataset else None
    out = args.out or (args.store if args.store.is_dir() else args.store.parent) / 'browse.html'
    write_browser(out, stores, images, devkit, tags, args.width)
    print(f'Wrote {out} ({out.stat().st_size / 2**20:.1f} MiB). Open it in a browser.')


if __name__ == '__main__':
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f'Error: {error}')

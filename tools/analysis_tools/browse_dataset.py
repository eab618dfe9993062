"""Draw training samples after augmentation: python tools/analysis_tools/browse_dataset.py CONFIG [--output-dir DIR] [--labels STORE].

One drawing per image: its tags and proposals and, with --labels WORK_DIR/pseudo_labels/STAGE.json, the pseudo instances with their weights.
"""

import argparse
from pathlib import Path

from mmlabelpenet.files import make_folder
from mmlabelpenet.options import ConfigOptions, Parser, whole
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--output-dir', type=Path, default=Path('browse_dataset'), help='folder (default: browse_dataset)')
    parser.add_argument('--labels', type=Path, help='label store to draw')
    parser.add_argument('--images', type=whole(1), default=20, help='number of images, evenly spread (default: 20)')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw and write."""
    args = parse_args(argv)
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.apis.config import build_dataset
    from mmlabelpenet.progress import track
    from mmlabelpenet.workbench.exports.folder import replace_files
    from mmlabelpenet.workbench.exports.images import jpeg_bytes
    from mmlabelpenet.workbench.report.training_images import draw_sample, evenly_spread

    dataset = build_dataset(load_config(args.config, args.cfg_options), 'train')
    dataset.use_pseudo_labels(str(args.labels) if args.labels else None)

    def write(folder: Path) -> None:
        for index in track(evenly_spread(len(dataset), args.images), 'images'):
            item = dataset[index]
            path = folder / f'{item["data_samples"].img_id}.jpg'
            make_folder(path.parent)
            path.write_bytes(jpeg_bytes(draw_sample(item, dataset.metainfo['classes']), quality=90))

    replace_files(args.output_dir, write)
    say(f'Wrote drawings to {args.output_dir}')


if __name__ == '__main__':
    run(main)

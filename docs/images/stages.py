"""Draw the image of the README: tags in, the labels that each stage hands on, masks out.

    python docs/images/stages.py WORK_DIR IMAGES... --out docs/images/stages.webp

WORK_DIR is a finished training, IMAGES are of its training set; one row per image.
"""

import argparse
from pathlib import Path

from mmlabelpenet.apis import LabelPENetInferencer
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.visualization.drawing import enlarge, webp
from mmlabelpenet.workbench.report.tiles import Painter, Tile, stack


def row(image_path: Path, inferencer: LabelPENetInferencer, stores: dict[str, PseudoLabelStore], scale: float) -> list[Tile]:
    """The tiles of one image."""
    image, painter = read_rgb(image_path), Painter(read_rgb(image_path), inferencer.classes, scale)
    handed_on = {name: store.instances(image_path.stem) for name, store in stores.items()}
    labels = {instance['bbox_label'] for instances in handed_on.values() for instance in instances}
    tags = ', '.join(inferencer.classes[label] for label in sorted(labels))
    tiles = [painter.stored_labels(name, instances) for name, instances in handed_on.items()]
    (found,) = inferencer(image_path)
    return [
        Tile('input', f'tags: {tags}', enlarge(image, scale)),
        *(Tile(tile.kind, tile.title, tile.image) for tile in tiles),
        Tile('prediction', f'result of {found.stage}', found.draw(image, scale)),
    ]


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('images', type=Path, nargs='+')
    parser.add_argument('--out', type=Path, default=Path('docs/images/stages.webp'))
    parser.add_argument('--scale', type=float, default=0.75)
    args = parser.parse_args()
    inferencer = LabelPENetInferencer(args.work_dir)
    stores = {name: args.work_dir / f'pseudo_labels/{name}.json' for name in inferencer.stages}
    stores = {name: PseudoLabelStore.load(path) for name, path in stores.items() if path.is_file()}
    args.out.write_bytes(webp(stack([row(path, inferencer, stores, args.scale) for path in args.images])))


if __name__ == '__main__':
    main()

"""Draw the image of the README: tags in, the labels that each stage hands on, masks out.

    python docs/images/stages.py WORK_DIR IMAGES... --out docs/images/stages.webp

WORK_DIR is a finished training, IMAGES are of its training set; one row per image.
"""

import argparse
from pathlib import Path

from mmlabelpenet.apis import LabelPENetInferencer
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.visualization.drawing import class_colours, enlarge, webp
from mmlabelpenet.workbench.report.panels import Tile, label_tiles, stack


def row(image_path: Path, inferencer: LabelPENetInferencer, stores: dict[str, PseudoLabelStore], scale: float) -> list[Tile]:
    """The tiles of one image."""
    image, image_id, classes = read_rgb(image_path), image_path.stem, inferencer.classes
    labels = {instance['bbox_label'] for store in stores.values() for instance in store.instances(image_id)}
    tags = ', '.join(classes[label] for label in sorted(labels))
    tiles = [Tile('input', f'tags: {tags}', enlarge(image, scale))]
    for tile in label_tiles(image, image_id, classes, class_colours(len(classes)), stores, scale):
        tiles.append(Tile(tile.kind, tile.title, tile.image))
    (found,) = inferencer(image_path)
    return [*tiles, Tile('prediction', f'result of {found.stage}', found.draw(image, scale))]


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

"""Boxes and masks of your images from a trained network.

    python -m mmlabelpenet.predict IMAGES... --out predictions
    python -m mmlabelpenet.predict IMAGES... --model work_dirs/quickstart --out predictions

IMAGES are files, folders or glob patterns. MODEL is a work dir, or a config with --checkpoint; by default, the network included in the
package detects the 20 classes of VOC (docs/model_card.md). Depending on --format, the command writes labels.json (COCO format, which
tools/export_pseudo_labels.py can read), masks as PNG files, LabelMe files or drawn images.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mmlabelpenet.options import decimal, whole
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import new_parser, run, say

if TYPE_CHECKING:
    from mmlabelpenet.apis import LabelPENetInferencer, Prediction
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore

NAMES = ('predict', 'python -m mmlabelpenet.predict')  # as a command of mmlabelpenet, and as a module
FORMATS = ('coco', 'png', 'labelme', 'drawn')
_FOLDERS = ('masks/', 'drawn/', 'labelme/')  # of results, below --out


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('images', nargs='+', help='files, folders or glob patterns such as "photos/*.jpg"')
    parser.add_argument('--model', help='work dir of a training, or a config (default: the network included in the package)')
    parser.add_argument('--checkpoint', help='weights (default: the last checkpoint of the work dir)')
    parser.add_argument('--out', type=Path, default=Path('predictions'), help='folder (default: predictions)')
    parser.add_argument('--format', nargs='+', choices=FORMATS, default=['coco', 'png'], help='default: coco png')
    parser.add_argument('--stage', help='stage that predicts (default: the last)')
    parser.add_argument('--min-score', type=decimal(0, 1), default=0.3, help='minimum score of a detection (default: 0.3)')
    parser.add_argument('--batch-size', type=whole(1), default=1, help='images per batch (default: 1)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    return parser.parse_args(argv)


def predict(args: argparse.Namespace) -> tuple['PseudoLabelStore', dict[str, str], list[str]]:
    """Predict all images and write the requested formats; files of an earlier call are replaced at the end.

    Returns:
        the labels, the unreadable images with reasons, and the names of LabelMe files that were kept because they were corrected by hand.

    Raises:
        FileExistsError: a file that this command did not write is in the way.
        FileNotFoundError: no such image or model.
        ValueError: no image can be read, a checkpoint of another model.
    """
    from mmlabelpenet.apis import LabelPENetInferencer
    from mmlabelpenet.apis.image_inputs import names_below
    from mmlabelpenet.workbench.exports.folder import replace_files
    from mmlabelpenet.workbench.own_data.labelling import refuse_unreadable

    inferencer, found = LabelPENetInferencer(args.model, args.checkpoint, args.device), []
    root, names = names_below(list_inputs(args.images, args.out))

    def write(folder: Path) -> None:
        found.extend(write_all(args, inferencer, root, names, folder))
        if not len(found[0]):
            refuse_unreadable(found[1], 0)

    certain = ['labels.json'] if 'coco' in args.format else []
    kept = replace_files(args.out, write, lambda name: name.startswith('labelme/'), certain)
    return found[0], found[1], kept


def write_all(
    args: argparse.Namespace, inferencer: 'LabelPENetInferencer', root: Path, names: dict[str, str], out: Path
) -> tuple['PseudoLabelStore', dict[str, str]]:
    """Predict into an empty folder; labels of an earlier or interrupted call with the same settings are reused.

    Returns:
        the labels, and the unreadable images.
    """
    from mmlabelpenet.files import atomic_write
    from mmlabelpenet.progress import track
    from mmlabelpenet.workbench.exports.labelme import write_labelme
    from mmlabelpenet.workbench.exports.labels import choose_labels
    from mmlabelpenet.workbench.own_data.labelling import label_images, stored_prediction

    hidden = args.out / '.labels.json'
    images = {image_id: root / name for image_id, name in names.items()}
    store, unreadable = label_images(
        inferencer, images, hidden, None, args.stage, args.min_score, args.batch_size, earlier_labels(args.out)
    )
    for image_id in track(store.image_ids, 'files'):
        write_drawings(stored_prediction(store, image_id, images[image_id]), out, args.format)
    if 'labelme' in args.format and store.num_instances:
        write_labelme(choose_labels(store), out / 'labelme', root)
    if 'coco' in args.format:
        with atomic_write(out / 'labels.json', 'wb') as file:
            file.write(hidden.read_bytes())
    hidden.unlink()
    return store, unreadable


def earlier_labels(out: Path) -> 'PseudoLabelStore | None':
    """The labels of an earlier call, unless they have been edited."""
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.workbench.exports.folder import is_unchanged, written_files

    path = out / 'labels.json'
    return PseudoLabelStore.load(path) if is_unchanged(path, written_files(out).get(path.name, set())) else None


def list_inputs(images: list[str], out: Path) -> list[Path]:
    """The images of files, folders and patterns, except those written by an earlier call, into ``out`` or below one of the folders.

    Raises:
        FileNotFoundError: no image is left.
    """
    from mmlabelpenet.apis.image_inputs import expand
    from mmlabelpenet.workbench.exports.folder import RECEIPT, written_files

    inside = [receipt.parent for name in images if os.path.isdir(name) for receipt in Path(name).rglob(RECEIPT)]
    results = [(folder, name) for folder in inside for name in written_files(folder) if name.startswith(_FOLDERS)]
    written = {os.path.abspath(folder / name) for folder, name in (*((out, name) for name in written_files(out)), *results)}
    found = [path for path in dict.fromkeys(expand(images)) if os.path.abspath(path) not in written]
    if not found:
        raise FileNotFoundError(f'All images in {", ".join(images)} are results of an earlier call. Pass the folder of your images.')
    return found


def write_drawings(found: 'Prediction', out: Path, formats: list[str]) -> None:
    """Masks and drawings of one image: ``masks/<id>_instances.png`` (16 bits), ``masks/<id>_classes.png``, ``drawn/<id>.jpg``."""
    import cv2

    from mmlabelpenet.formats.file_names import fitted
    from mmlabelpenet.workbench.exports.images import jpeg_bytes

    files, name = {}, fitted(found.image_id, len('_instances.png'))
    if 'drawn' in formats:  # drawn first to save memory: a large image takes gigabytes
        files[f'drawn/{name}.jpg'] = jpeg_bytes(found.draw(), quality=90)
    if 'png' in formats:
        files[f'masks/{name}_instances.png'] = cv2.imencode('.png', found.numbered)[1].tobytes()
        files[f'masks/{name}_classes.png'] = cv2.imencode('.png', found.semantic)[1].tobytes()
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def main(argv: list[str] | None = None) -> None:
    """Predict, and print where the results are."""
    args = parse_args(argv)
    from mmlabelpenet.formats.images import misnamed_images
    from mmlabelpenet.workbench.own_data.labelling import refuse_unreadable

    store, unreadable, kept = predict(args)
    hint = '' if store.num_instances else f'; none has a score of at least {args.min_score:g}: lower --min-score, or train longer'
    say(f'{counted(store.num_instances, "instance")}, in {args.out}{hint}')
    if kept:
        say(f'kept because they were corrected by hand: {counted(len(kept), "file")}, the first is {kept[0]}')
    misnamed = [path for name in args.images if os.path.isdir(name) for path in misnamed_images(name)]
    if misnamed:
        say(f'skipped because of an unknown file extension: {counted(len(misnamed), "image")}, the first is {misnamed[0]}')
    for reason in unreadable.values():
        say(f'not labelled: {reason}')
    refuse_unreadable(unreadable, len(store))


if __name__ == '__main__':
    run(main)

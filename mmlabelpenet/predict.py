"""Boxes and masks of your pictures from a trained network.

    python -m mmlabelpenet.predict PICTURES... --model work_dirs/quickstart --out predictions

PICTURES are files, folders or patterns. MODEL is a work dir, or a config with --checkpoint. As --format says, it writes labels.json (COCO
format, read by tools/export_pseudo_labels.py too), masks as PNG files, LabelMe files, drawn pictures.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmlabelpenet.terminal import new_parser, run, say

if TYPE_CHECKING:
    from mmlabelpenet.apis import LabelPENetInferencer, Prediction

NAMES = ('predict', 'python -m mmlabelpenet.predict')  # as a command of mmlabelpenet, and by its module
FORMATS = ('coco', 'png', 'labelme', 'drawn')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('pictures', nargs='+', help='files, folders or patterns such as "photos/*.jpg"')
    parser.add_argument('--model', required=True, help='work dir of a training, or a config')
    parser.add_argument('--checkpoint', help='default: the last one of the work dir')
    parser.add_argument('--out', type=Path, default=Path('predictions'), help='folder (default: predictions)')
    parser.add_argument('--format', nargs='+', choices=FORMATS, default=['coco', 'png'], help='default: coco png')
    parser.add_argument('--stage', help='of the network (default: the last)')
    parser.add_argument('--min-score', type=float, default=0.3, help='leave out detections below (default: 0.3)')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures per pass (default: 1)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    return parser.parse_args(argv)


def predict(args: argparse.Namespace) -> tuple[int, list[str]]:
    """Predict every image and write what was asked for; files of an earlier call are replaced when all is done.

    Returns:
        the number of instances, and names of LabelMe files that were corrected by hand and are kept.

    Raises:
        FileExistsError: something of somebody else stands where a file is to be written.
        FileNotFoundError: no such image or model.
        ValueError: an image that cannot be read, a checkpoint of another model.
    """
    from mmlabelpenet.apis import LabelPENetInferencer
    from mmlabelpenet.apis.inferencer import expand
    from mmlabelpenet.workbench.exports.folder import replace_files

    inferencer, counts = LabelPENetInferencer(args.model, args.checkpoint, args.device), []
    images = list(dict.fromkeys(expand(args.pictures)))
    kept = replace_files(
        args.out, lambda folder: counts.append(write_all(args, inferencer, images, folder)), lambda name: name.startswith('labelme/')
    )
    return counts[0], kept


def write_all(args: argparse.Namespace, inferencer: 'LabelPENetInferencer', images: list[Path], out: Path) -> int:
    """Predict into an empty folder; returns the number of instances."""
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelWriter
    from mmlabelpenet.progress import track
    from mmlabelpenet.workbench.exports.labelme import write_labelme
    from mmlabelpenet.workbench.exports.labels import choose_labels
    from mmlabelpenet.workbench.own_data.labelling import store_prediction

    root, names = names_below(images)
    store, count = out / 'labels.json', 0
    writer = PseudoLabelWriter(store, dict(stage=args.stage or inferencer.stages[-1], min_score=args.min_score))
    predictions = inferencer.stream(images, stage=args.stage, min_score=args.min_score, batch_size=args.batch_size)
    for found, (image_id, name) in zip(track(predictions, 'images', len(images)), names.items(), strict=True):
        found = replace(found, image_id=image_id)
        store_prediction(writer, found, range(len(found)), name)
        write_drawings(found, out, args.format)
        count += len(found)
    finished = writer.finish(names, inferencer.classes)
    if 'labelme' in args.format and count:
        write_labelme(choose_labels(finished), out / 'labelme', root)
    if 'coco' not in args.format:
        store.unlink()
    return count


def names_below(images: list[Path]) -> tuple[Path, dict[str, str]]:
    """The folder that holds all images, and their paths below it by id; an id is a path without suffix where no two images share it.

    >>> names_below([Path('in/day/a.jpg'), Path('in/night/a.jpg')])[1]
    {'day/a': 'day/a.jpg', 'night/a': 'night/a.jpg'}
    """
    from mmlabelpenet.datasets.image_names import identities

    paths = [Path(os.path.abspath(path)) for path in images]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return root, identities(path.relative_to(root).as_posix() for path in paths)


def write_drawings(found: 'Prediction', out: Path, formats: list[str]) -> None:
    """Masks and drawings of one image: ``masks/<id>_instances.png`` (16 bits), ``masks/<id>_classes.png``, ``drawn/<id>.jpg``."""
    import cv2

    from mmlabelpenet.datasets.pictures import jpeg_bytes

    files = {}
    if 'png' in formats:
        files[f'masks/{found.image_id}_instances.png'] = cv2.imencode('.png', found.numbered)[1].tobytes()
        files[f'masks/{found.image_id}_classes.png'] = cv2.imencode('.png', found.semantic)[1].tobytes()
    if 'drawn' in formats:
        files[f'drawn/{found.image_id}.jpg'] = jpeg_bytes(found.draw(), quality=90)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def main(argv: list[str] | None = None) -> None:
    """Predict, and say where the results are."""
    args = parse_args(argv)
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    count, kept = predict(args)
    hint = '' if count else f'; none has a score of {args.min_score:g}: give a lower --min-score, or train for longer'
    say(f'{count} instances, in {args.out}{hint}')
    if kept:
        say(f'kept as they were corrected by hand: {len(kept)} files, the first is {kept[0]}')


if __name__ == '__main__':
    run(main)

"""Boxes and masks of your pictures from a trained network.

    python -m mmlabelpenet.predict PICTURES... --model work_dirs/quickstart --out predictions

PICTURES are files, folders or patterns. MODEL is a work dir, or a config with --checkpoint. As --format says, it writes labels.json (COCO
format, read by tools/export_pseudo_labels.py too), masks as PNG files, LabelMe files, drawn pictures.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmlabelpenet.apis import Prediction
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore

FORMATS = ('coco', 'png', 'labelme', 'drawn')
STAGES = ('classification', 'detection', 'refinement', 'segmentation')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m mmlabelpenet.predict', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('pictures', nargs='+', help='files, folders or patterns such as "photos/*.jpg"')
    parser.add_argument('--model', required=True, help='work dir of a training, or a config')
    parser.add_argument('--checkpoint', help='default: the last one of the work dir')
    parser.add_argument('--out', type=Path, default=Path('predictions'), help='folder (default: predictions)')
    parser.add_argument('--format', nargs='+', choices=FORMATS, default=['coco', 'png'], help='default: coco png')
    parser.add_argument('--stage', choices=STAGES, help='default: the last')
    parser.add_argument('--min-score', type=float, default=0.3, help='leave out detections below (default: 0.3)')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures per pass (default: 1)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    return parser.parse_args(argv)


def predict(args: argparse.Namespace) -> int:
    """Predict every picture and write what was asked for.

    Returns:
        the number of instances.

    Raises:
        FileNotFoundError: no such picture or model.
        ValueError: two pictures of one name, a picture that cannot be read, a checkpoint of another model.
    """
    from mmlabelpenet.apis import LabelPENetInferencer
    from mmlabelpenet.apis.inferencer import expand
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelWriter
    from mmlabelpenet.progress import track
    from mmlabelpenet.workbench.own_data.labelling import store_prediction

    pictures = expand(args.pictures)
    twice = [stem for stem, count in Counter(path.stem for path in pictures).items() if count > 1]
    if twice:
        raise ValueError(f'{len(twice)} names stand for several pictures, the first: {twice[0]!r}. Predict their folders one by one.')
    inferencer = LabelPENetInferencer(args.model, args.checkpoint, args.device)
    store = args.out / 'labels.json'
    store.with_suffix('.part0').unlink(missing_ok=True)  # what an interrupted run left
    writer = PseudoLabelWriter(store, dict(stage=args.stage or inferencer.stages[-1], min_score=args.min_score))
    options = dict(stage=args.stage, min_score=args.min_score, batch_size=args.batch_size)
    count = 0
    for found in track(inferencer.stream(pictures, **options), 'images', len(pictures)):
        store_prediction(writer, found, range(len(found)))
        write_pictures(found, args.out, args.format)
        count += len(found)
    finished = writer.finish([path.stem for path in pictures], inferencer.classes)
    if 'labelme' in args.format and count:
        write_labelme_files(finished, {path.name: path for path in pictures}, args.out / 'labelme')
    if 'coco' not in args.format:
        store.unlink()
    return count


def write_pictures(found: 'Prediction', out: Path, formats: list[str]) -> None:
    """Masks and drawings of one picture: ``masks/<name>_instances.png`` (16 bits), ``masks/<name>_classes.png``, ``drawn/<name>.jpg``."""
    import cv2

    from mmlabelpenet.datasets.pictures import jpeg_bytes
    from mmlabelpenet.files import atomic_write

    files = {}
    if 'png' in formats:
        files[f'masks/{found.image_id}_instances.png'] = cv2.imencode('.png', found.numbered)[1].tobytes()
        files[f'masks/{found.image_id}_classes.png'] = cv2.imencode('.png', found.semantic)[1].tobytes()
    if 'drawn' in formats:
        files[f'drawn/{found.image_id}.jpg'] = jpeg_bytes(found.draw(), quality=90)
    for name, content in files.items():
        with atomic_write(out / name, 'wb') as file:
            file.write(content)


def write_labelme_files(store: 'PseudoLabelStore', sources: dict[str, Path], out: Path) -> None:
    """One LabelMe file for each picture with instances, beside a link to it."""
    from mmlabelpenet.datasets.pictures import link_or_copy
    from mmlabelpenet.workbench.exports.formats import choose_labels, write_labelme

    labels = choose_labels(store)
    out.mkdir(parents=True, exist_ok=True)
    for image in labels.images:
        link_or_copy(sources[image['file_name']], out / image['file_name'])
    write_labelme(labels, out, out)


def main(argv: list[str] | None = None) -> None:
    """Predict, and say where the results are."""
    args = parse_args(argv)
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    count = predict(args)
    hint = '' if count else f'; none has a score of {args.min_score:g}: give a lower --min-score, or train for longer'
    sys.stdout.write(f'{count} instances, in {args.out}{hint}\n')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f'Error: {error}')

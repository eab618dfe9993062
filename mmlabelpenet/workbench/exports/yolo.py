"""Pseudo labels as ultralytics' YOLO reads them: one text file for each image, in shares of its size."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from mmlabelpenet.progress import track
from mmlabelpenet.workbench.exports.images import export_names, place_images
from mmlabelpenet.workbench.exports.labels import Labels, decode, divide, has_mask
from mmlabelpenet.workbench.exports.polygons import inner, joined_parts, mask_polygons


def write_yolo(labels: Labels, out: Path, images: Path, val_share: float = 0.0, seed: int = 0, boxes: bool = False) -> list[Path]:
    """``data.yaml``, ``images/<split>`` and ``labels/<split>``: one line for each object, its class and one polygon.

    Polygons run within the outermost pixels of an object, so that programs that round coordinates fill the same pixels as those that
    truncate them. Holes hang on bridges without width, and so do further parts of an object that have more pixels than their bridge.
    Objects without mask are left out, unless ``boxes``. The folder can be moved; images of subfolders have ``_`` in place of ``/``.

    Args:
        val_share: of the images, for ``val``; without any, ``val`` names the training images.
        boxes: write ``class x y w h`` for detectors in place of polygons.

    Returns:
        ``[data.yaml]``.
    """
    splits, names = divide(labels, val_share, seed), export_names(labels.images, images, flat=True)
    for split, members in splits.items():
        place_images(members, images, out / 'images' / split, names)
        (out / 'labels' / split).mkdir(parents=True, exist_ok=True)
        for image in track(members, 'labels'):
            lines = [_line(annotation, image, boxes) for annotation in labels.annotations[image['id']]]
            path = out / 'labels' / split / f'{PurePosixPath(names[image["id"]]).with_suffix("")}.txt'
            path.write_text(''.join(f'{line}\n' for line in lines if line), encoding='utf-8')
    last = list(splits)[-1]
    content = dict(train='images/train', val=f'images/{last}', names=dict(enumerate(labels.classes)))
    readable = all(map(str.isprintable, labels.classes))  # YAML takes some other characters for line breaks
    note = '' if last == 'val' else '# Nothing was set aside: val names the training images.\n'
    (out / 'data.yaml').write_text(note + yaml.safe_dump(content, allow_unicode=readable, sort_keys=False, width=1000), encoding='utf-8')
    return [out / 'data.yaml']


def _line(annotation: Mapping, image: Mapping, boxes: bool) -> str:
    size = np.array([image['width'], image['height']], float)
    if boxes:
        corner, extent = np.array(annotation['bbox'][:2]), np.array(annotation['bbox'][2:])
        values = np.concatenate([(corner + extent / 2) / size, extent / size])
    elif has_mask(annotation):
        values = (joined_parts(mask_polygons(decode(annotation), inner)) / size).flatten()
    else:
        return ''
    return ' '.join([str(annotation['category_id'] - 1), *(f'{value:.7f}' for value in values)])

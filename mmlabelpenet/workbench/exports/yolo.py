"""Export pseudo labels in ultralytics' YOLO format: one text file per image, with coordinates relative to its size."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from mmlabelpenet.progress import track
from mmlabelpenet.workbench.exports.images import export_names, place_images
from mmlabelpenet.workbench.exports.labels import Labels, decode, divide, has_mask
from mmlabelpenet.workbench.exports.polygons import inner, joined_parts, mask_polygons


def write_yolo(labels: Labels, out: Path, images: Path, val_share: float = 0.0, seed: int = 0, boxes: bool = False) -> list[Path]:
    """Write ``data.yaml``, ``images/<split>`` and ``labels/<split>``, with one line per object: its class and one polygon.

    Polygons run inside the outermost pixels of an object, so that programs that round coordinates fill the same pixels as those that
    truncate them. Holes, and further components with more pixels than their bridge, are connected by zero-width bridges. Objects without a
    mask are excluded, unless ``boxes``. The folder can be moved; images in subfolders have ``_`` instead of ``/``.

    Args:
        val_share: fraction of the images for ``val``; if 0, ``val`` refers to the training images.
        boxes: write ``class x y w h`` for detectors instead of polygons.

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
    readable = all(map(str.isprintable, labels.classes))  # YAML treats some other characters as line breaks
    note = '' if last == 'val' else '# No images were held out: val refers to the training images.\n'
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

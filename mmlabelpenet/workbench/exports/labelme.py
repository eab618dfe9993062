"""Export pseudo labels as LabelMe files, to be corrected by hand: one JSON file per image."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.workbench.exports.images import export_names, place_images
from mmlabelpenet.workbench.exports.labels import Labels, decode, has_mask, image_name
from mmlabelpenet.workbench.exports.polygons import inner, mask_polygons

VERSION = '5.5.0'  # version of LabelMe, the first one with masks


def write_labelme(labels: Labels, out: Path, images: Path, polygons: bool = False) -> list[Path]:
    """Write one JSON file per image: exact masks (shape type ``mask``), or rectangles for boxes without a mask.

    LabelMe draws later shapes above earlier ones, so the object with the highest weight comes last. All files are in one folder (``_``
    replaces ``/``). ``weight``, ``bbox`` and ``as_written`` of a shape, which LabelMe preserves, identify unchanged shapes when importing.

    Args:
        polygons: write masks as polygons, which are easier to correct; parts of an object share a ``group_id``.

    Returns:
        the files.
    """
    names = export_names(labels.images, images, flat=True)
    place_images(labels.images, images, out, names)
    written = []
    for image in labels.images:
        name, shapes = PurePosixPath(names[image['id']]), []
        for group, annotation in reversed(list(enumerate(labels.annotations[image['id']], 1))):
            shapes += _shapes(annotation, labels.classes, polygons, group)
        content = dict(version=VERSION, flags={}, shapes=shapes, imagePath=name.name, imageData=None)
        content |= dict(imageHeight=image['height'], imageWidth=image['width'], image=image_name(image))
        written.append(out / name.with_suffix('.json'))
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        written[-1].write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding='utf-8')
    return written


def fingerprint(shapes: Iterable[Mapping], masks: Iterable[NDArray[np.bool_] | None]) -> str:
    """A hash of the label, points and pixels of an object's shapes, which does not change when LabelMe rewrites them.

    Args:
        masks: the pixels of each shape, None for other shape types.
    """
    digest = hashlib.sha256()
    for shape, mask in sorted(zip(shapes, masks, strict=True), key=lambda pair: json.dumps(pair[0]['points'])):
        points = np.round(np.array(shape['points'], float), 3) + 0.0
        digest.update(json.dumps([shape['label'], shape['shape_type'], points.tolist()]).encode())
        digest.update(b'' if mask is None else mask.tobytes())
    return digest.hexdigest()[:16]


def _shapes(annotation: Mapping, classes: Sequence[str], polygons: bool, group: int) -> list[dict]:
    x, y, w, h = annotation['bbox']
    drawn: list[dict] = [dict(shape_type='rectangle', points=[[x, y], [x + w, y + h]], mask=None)]
    pixels: list[NDArray[np.bool_] | None] = [None]
    if has_mask(annotation) and polygons:
        drawn = [dict(shape_type='polygon', points=part.tolist(), mask=None) for part in mask_polygons(decode(annotation), inner)]
        pixels = [None] * len(drawn)
    elif has_mask(annotation):
        drawn[0], pixels[0] = _mask(decode(annotation))
    common = dict(label=classes[annotation['category_id'] - 1], group_id=group if len(drawn) > 1 else None)
    common |= dict(description=f'weight {annotation["weight"]:.3f}', flags={}, weight=annotation['weight'], bbox=annotation['bbox'])
    shapes = [common | shape for shape in drawn]
    return [shape | dict(as_written=fingerprint(shapes, pixels)) for shape in shapes]


def _mask(mask: NDArray[np.bool_]) -> tuple[dict, NDArray[np.bool_]]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
    crop = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    png = cv2.imencode('.png', crop.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
    return dict(shape_type='mask', points=corners, mask=base64.b64encode(png.tobytes()).decode()), crop

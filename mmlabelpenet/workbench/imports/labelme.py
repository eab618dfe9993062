"""Import labels from LabelMe files, exported and corrected by hand, or drawn from scratch."""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from mmlabelpenet.datasets.label_schema import Weight
from mmlabelpenet.schema import Size, counted, read_json
from mmlabelpenet.workbench.exports.labelme import fingerprint
from mmlabelpenet.workbench.imports.objects import ReadImage, ReadObject, checked_box, checked_size, encoded, extent

_CORNERS = {'polygon': 3, 'rectangle': 2, 'mask': 2, 'circle': 2, 'oriented_rectangle': 4}  # number of points of each shape


class Shape(msgspec.Struct):
    """A shape of a LabelMe file; the last three fields are our own."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str = 'polygon'
    group_id: int | None = None
    mask: str | None = None
    weight: Weight | None = None
    bbox: tuple[float, float, float, float] | None = None
    as_written: str | None = None


class File(msgspec.Struct):
    """A LabelMe file; our field ``image`` is the original name of the image."""

    shapes: list[Shape]
    imagePath: str  # noqa: N815
    imageHeight: Size  # noqa: N815
    imageWidth: Size  # noqa: N815
    image: str | None = None


def read_labelme(folder: Path) -> list[ReadImage]:
    """Objects of all LabelMe files in a folder and its subfolders.

    Shapes with the same label and ``group_id`` form one object. An object unchanged since our export keeps its exact box and its weight;
    any other gets the bounding box of its mask and the weight 1. A rectangle is a box without a mask.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is malformed, or has shapes that are not objects.
    """
    paths = sorted(path for path in folder.rglob('*.json') if path.is_file() and not path.name.startswith('.'))
    if not paths:
        raise FileNotFoundError(f'{str(folder)!r} contains no LabelMe file (.json).')
    return [_read(path) for path in paths]


def _read(path: Path) -> ReadImage:
    file = read_json(path, File, 'a LabelMe file')
    size = checked_size(file.imageHeight, file.imageWidth, repr(str(path)))
    groups: dict[object, list[tuple[int, Shape]]] = {}
    for number, shape in enumerate(file.shapes, 1):
        key = number if shape.group_id is None else (shape.label, f'group {shape.group_id}')
        groups.setdefault(key, []).append((number, shape))
    objects = [_object(shapes, size, str(path)) for shapes in reversed(list(groups.values()))]  # later shapes are on top
    return ReadImage(file.image or PureWindowsPath(file.imagePath).as_posix(), size, objects, str(path))


def _object(shapes: Sequence[tuple[int, Shape]], size: tuple[int, int], path: str) -> ReadObject:
    first, where = shapes[0][1], f'Shape {shapes[0][0]} of {path!r}'
    drawn = [_pixels(shape, size, f'Shape {number} of {path!r}') for number, shape in shapes]
    mask = np.any([pixels for pixels, _ in drawn], 0)
    written = fingerprint([msgspec.to_builtins(shape) for _, shape in shapes], [crop for _, crop in drawn])
    untouched = all(shape.as_written == written for _, shape in shapes) and first.weight is not None and first.bbox is not None
    if untouched:
        return ReadObject(first.label, checked_box(first.bbox, size, where), encoded(mask), float(first.weight), True)
    if mask.any():
        return ReadObject(first.label, extent(mask), encoded(mask))
    if any(shape.shape_type != 'rectangle' for _, shape in shapes):
        raise ValueError(f'{where} covers no pixel of its image. Redraw it.')
    low, high = np.min([shape.points for _, shape in shapes], (0, 1)), np.max([shape.points for _, shape in shapes], (0, 1))
    return ReadObject(first.label, checked_box((*low, *(high - low)), size, where), encoded(mask))


def _pixels(shape: Shape, size: tuple[int, int], where: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Pixels of a shape as in LabelMe, and those of a mask in its own frame; none for a rectangle."""
    needed = _CORNERS.get(shape.shape_type)
    if needed is None:
        raise ValueError(f'{where} is a {shape.shape_type[:30]!r}, which is not an object. Draw a polygon, a mask or a rectangle.')
    count = len(shape.points)
    if count < needed or (count > needed and shape.shape_type != 'polygon') or not np.isfinite(shape.points).all():
        raise ValueError(f'{where} needs {counted(needed, "point")} of finite numbers for a {shape.shape_type}, got {count}.')
    mask = np.zeros(size, bool)
    if shape.shape_type == 'mask':
        crop = _decoded(shape.mask or '', where)
        (x1, y1), (x2, y2) = (map(int, point) for point in shape.points)
        if crop.shape != (y2 - y1 + 1, x2 - x1 + 1) or min(x1, y1) < 0 or x2 >= size[1] or y2 >= size[0]:
            raise ValueError(f'{where} has a mask of {crop.shape} pixels (h, w), which does not match its points {shape.points}.')
        mask[y1 : y2 + 1, x1 : x2 + 1] = crop
        return mask, crop
    if shape.shape_type == 'rectangle':
        return mask, None
    limit = 10 * max(size)
    image = Image.fromarray(mask.astype(np.uint8))
    points = [(min(max(x, -limit), limit), min(max(y, -limit), limit)) for x, y in shape.points]
    if shape.shape_type == 'circle':
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    else:
        ImageDraw.Draw(image).polygon(points, outline=1, fill=1)
    return np.asarray(image) > 0, None


def _decoded(text: str, where: str) -> NDArray[np.bool_]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=['PNG']) as image:
            checked_size(image.height, image.width, where)
            return np.asarray(image.convert('L')) > 0
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'{where} has a mask that is not a PNG ({str(error)[:80]}). Redraw it.') from error

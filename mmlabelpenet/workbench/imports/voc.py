"""Read labels of a VOC devkit: boxes from its annotation files, masks from its label images."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mmlabelpenet.evaluation.devkit import VOID
from mmlabelpenet.evaluation.overlaps import box_iou
from mmlabelpenet.evaluation.voc import read_box
from mmlabelpenet.formats.file_names import below
from mmlabelpenet.formats.rle import checked_rle, decode_mask
from mmlabelpenet.formats.tag_files import parse_xml
from mmlabelpenet.workbench.imports.objects import ReadImage, ReadObject, checked_box, checked_size, encoded, extent
from mmlabelpenet.workbench.voc_files import whole_corners


def read_voc(folder: Path) -> list[ReadImage]:
    """Objects of all annotation files of a devkit.

    As in exports, the pixel value of an object in ``SegmentationObject`` is its number in the annotation file. For objects unchanged since
    an export, its exact boxes, hidden pixels and weights are used.

    Raises:
        FileNotFoundError: there is no annotation file.
        ValueError: a file is malformed.
    """
    paths = sorted((folder / 'Annotations').rglob('*.xml'))
    if not paths:
        raise FileNotFoundError(f'{str(folder)!r} contains no Annotations/*.xml. Pass the folder that contains Annotations.')
    return [_read(path, folder) for path in paths]


def _read(path: Path, folder: Path) -> ReadImage:
    root, where, numbers = parse_xml(path), str(path), []
    try:
        numbers = [int(root.findtext(f'size/{side}') or '') for side in ('height', 'width')]
    except ValueError as error:
        raise ValueError(f'{where!r} has no integer image size.') from error
    size = checked_size(*numbers, repr(where))
    stem = path.relative_to(folder / 'Annotations').with_suffix('').as_posix()
    values = _values(below(folder / 'SegmentationObject', f'{stem}.png'), size)
    whole = [_whole_mask(element, size, where) for element in root.iter('object')]
    elements = list(root.iter('object'))
    pixels = _pixels(elements, values, path)
    objects = [_object(element, number, path, size, pixels[number - 1], whole) for number, element in enumerate(elements, 1)]
    return ReadImage(root.findtext('path') or root.findtext('filename') or stem, size, objects, where)


def _object(
    element: ElementTree.Element, number: int, path: Path, size: tuple[int, int], seen: NDArray[np.bool_],
    whole: Sequence[NDArray[np.bool_] | None],
) -> ReadObject:  # fmt: skip
    where, name = f'Object {number} of {str(path)!r}', (element.findtext('name') or '').strip()
    x1, y1, x2, y2 = read_box(element, path)
    box, exact = (x1, y1, x2 - x1, y2 - y1), _exact_box(element, (x1 + 1, y1 + 1, x2, y2), size)
    mask = whole[number - 1]
    for earlier in whole[: number - 1] if mask is not None else ():
        if earlier is not None:
            mask = mask & ~earlier
    if exact is not None and (mask is None or np.array_equal(mask, seen)):
        pixels = whole[number - 1] if mask is not None else seen
        return ReadObject(name, checked_box(exact, size, where), encoded(pixels), _weight(element), True)
    return ReadObject(name, checked_box(box, size, where), encoded(seen))


def _weight(element: ElementTree.Element) -> float:
    try:
        weight = float(element.findtext('weight') or '')
    except ValueError:
        return 1.0
    return weight if 0 < weight <= 1 else 1.0


def _exact_box(
    element: ElementTree.Element, corners: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """The exact box xywh that an export wrote next to the corners, unless these have been changed since."""
    try:
        x, y, w, h = (float(word) for word in (element.findtext('bbox') or '').split())
    except ValueError:
        return None
    return (x, y, w, h) if np.isfinite([x, y, w, h]).all() and whole_corners((x, y, x + w, y + h), size) == corners else None


def _pixels(elements: Sequence[ElementTree.Element], values: NDArray[np.uint8], path: Path) -> list[NDArray[np.bool_]]:
    """Pixels of each object: in our files those of its number, in others those of the value that covers its box best."""
    if any(element.find('mask') is not None for element in elements):
        return [values == number for number in range(1, len(elements) + 1)]
    masks = [values == value for value in np.unique(values[values > 0])]
    found, boxes = (
        [np.zeros(values.shape, bool)] * len(elements),
        np.array([read_box(element, path) for element in elements]).reshape(-1, 4),
    )
    extents = np.array([extent(mask) for mask in masks]).reshape(-1, 4)
    extents[:, 2:] += extents[:, :2]
    overlaps = box_iou(boxes, extents)
    while overlaps.max(initial=0) >= 0.5:
        element, mask = np.unravel_index(overlaps.argmax(), overlaps.shape)
        found[element] = masks[mask]
        overlaps[element], overlaps[:, mask] = 0, 0
    return found


def _whole_mask(element: ElementTree.Element, size: tuple[int, int], where: str) -> NDArray[np.bool_] | None:
    counts = element.findtext('mask')
    if not counts:
        return None
    try:
        return decode_mask(checked_rle(dict(size=list(size), counts=counts.strip()), size))
    except ValueError as error:
        raise ValueError(f'An object of {where!r} is damaged: {error}.') from error


def _values(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    if not path.is_file():
        return np.zeros(size, np.uint8)
    try:
        with Image.open(path) as stored:
            if stored.mode not in ('P', 'L') or (stored.height, stored.width) != size:
                raise ValueError(
                    f'{str(path)!r} should contain object numbers for {size} pixels (h, w), got {stored.mode} {stored.size[::-1]}.'
                )
            values = np.asarray(stored, np.uint8).copy()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f'{str(path)!r} is not a readable image ({str(error)[:80]}).') from error
    values[values == VOID] = 0
    return values

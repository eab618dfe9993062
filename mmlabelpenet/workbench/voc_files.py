"""Writing files of a VOC devkit: annotations, label images, image lists, copies.

Boxes: xyxy in pixels, 0-based and half-open, unless said otherwise. Image sizes are (h, w).
"""

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDERS = ('Annotations', 'JPEGImages', 'SegmentationClass', 'SegmentationObject', 'ImageSets/Main', 'ImageSets/Segmentation')


def make_folders(root: Path) -> None:
    """Create the folders of a devkit."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True)


def copy_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file's content; some file systems (Btrfs, XFS) share the blocks until one of the two changes.

    Hard links are not used, because a program that changes the copy in place must not change the original.

    Args:
        source: the file.
        target: the copy, which must not exist.

    Raises:
        OSError: one of the two cannot be read or written.
    """
    with open(source, 'rb') as read, open(target, 'xb') as write:
        try:
            while os.copy_file_range(read.fileno(), write.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # not supported, or two file systems
            read.seek(0)
            write.seek(0)
            write.truncate()
            shutil.copyfileobj(read, write)


def voc_palette() -> list[int]:
    """The colours of VOC's label images, 256 x (r, g, b), flattened.

    >>> voc_palette()[:9]
    [0, 0, 0, 128, 0, 0, 0, 128, 0]
    """
    return [sum(((k >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for k in range(256) for channel in range(3)]


def label_image(values: NDArray[np.uint8]) -> Image.Image:
    """A label image uint8 (h, w) with VOC's colours, to be saved as PNG."""
    image = Image.fromarray(values)
    image.putpalette(voc_palette())
    return image


def write_label_image(path: Path, values: NDArray[np.uint8]) -> None:
    """Write a label image uint8 (h, w) as a PNG with VOC's colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    label_image(values).save(path, 'PNG')


def whole_corners(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in VOC's format: 1-based integers, including the last pixel.

    >>> whole_corners((0.0, 2.4, 10.0, 2.6), (5, 8))
    (1, 3, 8, 3)
    """
    (x1, x2), (y1, y2) = (
        (min(max(round(low), 0), side - 1), min(round(high), side)) for low, high, side in zip(box[:2], box[2:], size[::-1])
    )
    return x1 + 1, y1 + 1, max(x2, x1 + 1), max(y2, y1 + 1)


def write_annotation(path: Path, size: tuple[int, int], objects: Iterable[Mapping[str, Any]], /, **head: Any) -> None:
    """Write the annotation file of an image.

    Args:
        objects: elements of each ``object`` by name; ``bndbox`` is a box, whose corners are rounded to whole pixels.
        head: further elements, before the size.
    """
    root = ElementTree.Element('annotation')
    _add(root, dict(**head, size=dict(width=size[1], height=size[0], depth=3)))
    for item in objects:
        corners = dict(zip(('xmin', 'ymin', 'xmax', 'ymax'), whole_corners(item['bndbox'], size)))
        _add(ElementTree.SubElement(root, 'object'), dict(item, bndbox=corners))
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ElementTree.tostring(root, encoding='unicode') + '\n', encoding='utf-8')


def write_lists(root: Path, split: str, shown: Mapping[str, Collection[str]], classes: Sequence[str], masked: Iterable[str] | None) -> None:
    """Write the image lists of a split: of all images, of those with masks, and one per class as in VOC's classification task.

    Args:
        shown: names of the classes in each image, by image name.
        masked: images with masks; None writes no such list.
    """
    files: dict[str, Iterable[str]] = {f'Main/{split}': shown}
    files |= {} if masked is None else {f'Segmentation/{split}': masked}
    for name in classes:  # a list, because a generator would be evaluated only with the name of the last class
        files[f'Main/{name}_{split}'] = [f'{image} {1 if name in found else -1:2d}' for image, found in shown.items()]
    for name, lines in files.items():
        path = root / f'ImageSets/{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def _add(parent: ElementTree.Element, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        element = ElementTree.SubElement(parent, name)
        if isinstance(value, Mapping):
            _add(element, value)
        else:
            element.text = str(value)

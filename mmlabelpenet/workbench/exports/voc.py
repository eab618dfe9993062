"""Pseudo labels as a VOC devkit: what torchvision, mmdet and datumaro expect of one, and what brings every box and mask back.

Shapes: K instances of one image, (h, w) image. Boxes of the store: xywh, 0-based and half-open.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import cv2
import numpy as np
from PIL import Image

from mmlabelpenet.datasets.devkit import VOID
from mmlabelpenet.workbench.exports.images import export_names, place_images
from mmlabelpenet.workbench.exports.labels import Labels, decode, divide, has_mask, image_name
from mmlabelpenet.workbench.quickstart.rendered import voc_palette

_MOST = 254  # values of a label image between background and void
_BORDER = 2  # pixels around an object that are void, as in VOC's own label images
_TAKEN = ('', '.', '..', 'background', 'ignored')
_HEAD = '# label:color_rgb:parts:actions'


def write_voc(labels: Labels, out: Path, images: Path, val_share: float = 0.0, seed: int = 0) -> list[Path]:
    """A VOC devkit: ``Annotations``, ``JPEGImages``, ``ImageSets``, ``SegmentationClass``, ``SegmentationObject``, ``labelmap.txt``.

    All images are ``.jpg`` and lie in one folder (``_`` stands for ``/``), for some readers look no deeper. Corners are whole numbers;
    ``bbox`` and ``mask`` of an ``object`` hold the exact box and the whole mask, which other programs pass over. Value k of
    ``SegmentationObject`` is the k-th ``object`` of the annotation file. Where masks overlap the heavier one has the pixel; the background
    around an object is void.

    Returns:
        the image lists of ``ImageSets/Main``.

    Raises:
        ValueError: more classes or instances in an image than a label image can tell apart, or a name that the devkit cannot hold.
    """
    _check(labels)
    splits, names = divide(labels, val_share, seed), export_names(labels.images, images, jpeg=True, flat=True)
    place_images(labels.images, images, out / 'JPEGImages', names)
    for image in labels.images:
        name, annotations = names[image['id']], labels.annotations[image['id']]
        write_annotation(out, name, image, annotations, labels.classes)
        if any(map(has_mask, annotations)):
            write_label_images(out, name, image, annotations)
    write_label_map(out, labels.classes)
    if 'val' in splits:
        splits['trainval'] = labels.images
    return [_write_lists(split, members, labels, out, names) for split, members in splits.items()]


def write_annotation(out: Path, name: str, image: Mapping, annotations: Sequence[Mapping], classes: Sequence[str]) -> None:
    """XML of one image.

    Args:
        out: the devkit.
        name: of the image below ``JPEGImages``.
        image: the store's entry.
        annotations: of the image, heaviest first.
        classes: names in label order.
    """
    size = (image['height'], image['width'])
    root = ElementTree.Element('annotation')
    _add(root, filename=name, path=image_name(image), segmented=int(any(map(has_mask, annotations))))
    _add(ElementTree.SubElement(root, 'size'), width=size[1], height=size[0], depth=3)
    root.extend(_object(annotation, classes, size) for annotation in annotations)
    ElementTree.indent(root)
    path = out / f'Annotations/{PurePosixPath(name).with_suffix("")}.xml'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ElementTree.tostring(root, encoding='unicode') + '\n', encoding='utf-8')


def write_label_images(out: Path, name: str, image: Mapping, annotations: Sequence[Mapping]) -> None:
    """``SegmentationObject`` and ``SegmentationClass`` of one image; arguments as for :func:`write_annotation`."""
    instances, kinds = (np.zeros((image['height'], image['width']), np.uint8) for _ in range(2))
    for index in range(len(annotations) - 1, -1, -1):
        if has_mask(annotations[index]):
            mask = decode(annotations[index])
            instances[mask], kinds[mask] = index + 1, annotations[index]['category_id']
    border = (cv2.dilate((instances > 0).astype(np.uint8), np.ones((2 * _BORDER + 1,) * 2, np.uint8)) > 0) & (instances == 0)
    for folder, values in (('SegmentationObject', instances), ('SegmentationClass', kinds)):
        values[border] = VOID
        coloured, path = Image.fromarray(values), out / folder / f'{PurePosixPath(name).with_suffix("")}.png'
        coloured.putpalette(voc_palette())
        path.parent.mkdir(parents=True, exist_ok=True)
        coloured.save(path, 'PNG')


def write_label_map(out: Path, classes: Sequence[str]) -> None:
    """``labelmap.txt``, which names the values of ``SegmentationClass`` and their colours; void comes last, as ``ignored``."""
    colours = np.array(voc_palette()).reshape(-1, 3)
    named = zip(('background', *classes, 'ignored'), [*colours[: 1 + len(classes)], colours[VOID]])
    lines = [f'{name}:{",".join(map(str, colour))}::' for name, colour in named]
    (out / 'labelmap.txt').write_text('\n'.join([_HEAD, *lines]) + '\n', encoding='utf-8')


def _check(labels: Labels) -> None:
    if len(labels.classes) > _MOST:
        raise ValueError(f'VOC label images tell {_MOST} classes apart, these labels have {len(labels.classes)}. Export COCO or LabelMe.')
    bad = [name for name in labels.classes if set(name) & set('/:\n\r') or name.startswith('#') or name in _TAKEN]
    if bad:
        raise ValueError(f'Class {bad[0][:60]!r} cannot stand in a VOC devkit, which names files by class. Export COCO or LabelMe.')
    for image in labels.images:
        if len(labels.annotations[image['id']]) > _MOST:
            count = len(labels.annotations[image['id']])
            raise ValueError(f'{image["file_name"]!r} has {count} instances, VOC label images hold {_MOST}. Use top_k.')


def _write_lists(split: str, members: Sequence[Mapping], labels: Labels, out: Path, names: Mapping[int, str]) -> Path:
    """Image lists of a split: of all images, of those with masks, and one for each class as in VOC's classification task."""
    stems = {image['id']: str(PurePosixPath(names[image['id']]).with_suffix('')) for image in members}
    masked = [stem for key, stem in stems.items() if any(map(has_mask, labels.annotations[key]))]
    for folder, chosen in (('Main', list(stems.values())), ('Segmentation', masked)):
        path = out / f'ImageSets/{folder}/{split}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{stem}\n' for stem in chosen), encoding='utf-8')
    for category, name in enumerate(labels.classes, 1):
        flags = {key: any(note['category_id'] == category for note in labels.annotations[key]) for key in stems}
        lines = (f'{stem} {" 1" if flags[key] else "-1"}\n' for key, stem in stems.items())
        (out / f'ImageSets/Main/{name}_{split}.txt').write_text(''.join(lines), encoding='utf-8')
    return out / f'ImageSets/Main/{split}.txt'


def _object(annotation: Mapping, classes: Sequence[str], size: tuple[int, int]) -> ElementTree.Element:
    element = ElementTree.Element('object')
    x, y, w, h = annotation['bbox']
    _add(element, name=classes[annotation['category_id'] - 1], pose='Unspecified', truncated=0, difficult=0, occluded=0)
    corners = whole_corners((x, y, x + w, y + h), size)
    _add(ElementTree.SubElement(element, 'bndbox'), **dict(zip(('xmin', 'ymin', 'xmax', 'ymax'), corners)))
    _add(element, weight=repr(float(annotation['weight'])), bbox=' '.join(repr(float(value)) for value in (x, y, w, h)))
    if has_mask(annotation):
        _add(element, mask=annotation['segmentation']['counts'])
    return element


def whole_corners(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box xyxy, 0-based and half-open, as VOC writes it: whole numbers that count from 1, the last pixel inside.

    >>> whole_corners((0.0, 2.4, 10.0, 2.6), (5, 8))
    (1, 3, 8, 3)
    """
    (x1, x2), (y1, y2) = (
        (min(max(round(low), 0), side - 1), min(round(high), side)) for low, high, side in zip(box[:2], box[2:], size[::-1])
    )
    return x1 + 1, y1 + 1, max(x2, x1 + 1), max(y2, y1 + 1)


def _add(parent: ElementTree.Element, **texts: object) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)

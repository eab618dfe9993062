"""Export pseudo labels as a VOC devkit that torchvision, mmdet and datumaro can read, and from which our importer restores every box and
mask.

Shapes: K instances of one image, (h, w) image. Boxes of the store: xywh, 0-based and half-open.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.evaluation.devkit import VOID
from mmlabelpenet.workbench.exports.images import export_names, place_images
from mmlabelpenet.workbench.exports.labels import Labels, decode, divide, has_mask, image_name
from mmlabelpenet.workbench.voc_files import voc_palette, write_annotation, write_label_image, write_lists

_MOST = 254  # values of a label image between background and void
_BORDER = 2  # pixels around an object that are void, as in VOC's own label images
_LONGEST = 200  # maximum bytes of a class name, which leaves room for the name of a split
_TAKEN = ('', '.', '..', 'background', 'ignored')
_HEAD = '# label:color_rgb:parts:actions'


def write_voc(labels: Labels, out: Path, images: Path, val_share: float = 0.0, seed: int = 0) -> list[Path]:
    """A VOC devkit: ``Annotations``, ``JPEGImages``, ``ImageSets``, ``SegmentationClass``, ``SegmentationObject``, ``labelmap.txt``.

    All images are ``.jpg`` files in one folder (``_`` replaces ``/``), because some readers ignore subfolders. Corners are integers;
    ``bbox`` and ``mask`` of an ``object`` contain the exact box and the complete mask, which other programs ignore. Value k of
    ``SegmentationObject`` is the k-th ``object`` of the annotation file. Where masks overlap, the object with the higher weight gets the
    pixel; the background around an object is void.

    Returns:
        the image lists of ``ImageSets/Main``.

    Raises:
        ValueError: more classes or instances per image than a label image supports, or a name that the devkit does not support.
    """
    _check(labels)
    splits, names = divide(labels, val_share, seed), export_names(labels.images, images, jpeg=True, flat=True)
    place_images(labels.images, images, out / 'JPEGImages', names)
    for image in labels.images:
        annotations = labels.annotations[image['id']]
        write_labels(out, names[image['id']], image, annotations, labels.classes, masks=any(map(has_mask, annotations)))
    write_label_map(out, labels.classes)
    if 'val' in splits:
        splits['trainval'] = labels.images
    return [_write_lists(split, members, labels, out, names) for split, members in splits.items()]


def write_labels(out: Path, name: str, image: Mapping, annotations: Sequence[Mapping], classes: Sequence[str], masks: bool) -> None:
    """Write the annotation file and label images of one image.

    Args:
        out: the devkit.
        name: name of the image below ``JPEGImages``.
        image: the store's entry.
        annotations: annotations of the image, highest weight first.
    """
    size, stem = (image['height'], image['width']), PurePosixPath(name).with_suffix('')
    objects = [_object(annotation, classes) for annotation in annotations]
    head = dict(filename=name, path=image_name(image), segmented=int(any(map(has_mask, annotations))))
    write_annotation(out / f'Annotations/{stem}.xml', size, objects, **head)
    if masks:
        for folder, values in zip(('SegmentationObject', 'SegmentationClass'), _label_images(size, annotations), strict=True):
            write_label_image(out / f'{folder}/{stem}.png', values)


def _label_images(size: tuple[int, int], annotations: Sequence[Mapping]) -> Iterator[NDArray[np.uint8]]:
    """Label images of instances and of classes, each with a void border."""
    instances, kinds = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for index in range(len(annotations) - 1, -1, -1):
        if has_mask(annotations[index]):
            mask = decode(annotations[index])
            instances[mask], kinds[mask] = index + 1, annotations[index]['category_id']
    border = (cv2.dilate((instances > 0).astype(np.uint8), np.ones((2 * _BORDER + 1,) * 2, np.uint8)) > 0) & (instances == 0)
    for values in (instances, kinds):
        values[border] = VOID
        yield values


def write_label_map(out: Path, classes: Sequence[str]) -> None:
    """Write ``labelmap.txt``, which lists the values of ``SegmentationClass`` and their colours; void comes last, as ``ignored``."""
    colours = np.array(voc_palette()).reshape(-1, 3)
    named = zip(('background', *classes, 'ignored'), [*colours[: 1 + len(classes)], colours[VOID]])
    lines = [f'{name}:{",".join(map(str, colour))}::' for name, colour in named]
    (out / 'labelmap.txt').write_text('\n'.join([_HEAD, *lines]) + '\n', encoding='utf-8')


def _check(labels: Labels) -> None:
    if len(labels.classes) > _MOST:
        raise ValueError(f'VOC label images support {_MOST} classes, but these labels have {len(labels.classes)}. Export COCO or LabelMe.')
    if bad := [name for name in labels.classes if not _names_files(name)]:
        raise ValueError(f'Class {bad[0][:60]!r} cannot be used in a VOC devkit, which names files by class. Export COCO or LabelMe.')
    for image in labels.images:
        if len(labels.annotations[image['id']]) > _MOST:
            count = len(labels.annotations[image['id']])
            raise ValueError(f'{image["file_name"]!r} has {count} instances, but VOC label images support {_MOST}. Use top_k.')


def _names_files(name: str) -> bool:
    """Whether a class name can be used for file names and in the files of a devkit without being truncated or misread."""
    plain = name == name.strip() and name not in _TAKEN and not name.startswith('#') and not set(name) & set('/:')
    return plain and len(name.encode()) <= _LONGEST and not any(unicodedata.category(letter) in ('Cc', 'Zl', 'Zp') for letter in name)


def _write_lists(split: str, members: Sequence[Mapping], labels: Labels, out: Path, names: Mapping[int, str]) -> Path:
    found = {str(PurePosixPath(names[image['id']]).with_suffix('')): labels.annotations[image['id']] for image in members}
    shown = {stem: {labels.classes[note['category_id'] - 1] for note in notes} for stem, notes in found.items()}
    write_lists(out, split, shown, labels.classes, [stem for stem, notes in found.items() if any(map(has_mask, notes))])
    return out / f'ImageSets/Main/{split}.txt'


def _object(annotation: Mapping, classes: Sequence[str]) -> dict[str, Any]:
    x, y, w, h = map(float, annotation['bbox'])
    content = dict(name=classes[annotation['category_id'] - 1], pose='Unspecified', truncated=0, difficult=0, occluded=0)
    content |= dict(bndbox=(x, y, x + w, y + h), weight=float(annotation['weight']), bbox=f'{x!r} {y!r} {w!r} {h!r}')
    return content | (dict(mask=annotation['segmentation']['counts']) if has_mask(annotation) else {})

"""Pseudo labels in the formats of other programs: COCO, YOLO, VOC, LabelMe.

Shapes: K instances of one image, (h, w) image. Boxes: xywh in pixels of the original image, as in the store.
"""

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pictures import link_or_copy
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.files import atomic_write
from mmlabelpenet.workbench.exports.polygons import mask_outlines, pulled_in, single_polygon
from mmlabelpenet.workbench.own_data.splits import stratified_split

FORMATS = ('coco', 'yolo', 'voc', 'labelme')
_MOST = 254  # instances that fit into a VOC label image


@dataclass(frozen=True)
class Labels:
    """Chosen labels.

    Attributes:
        classes: names in label order; the category of class k is k + 1.
        images: the store's entries of images that are left.
        annotations: by the id of the image, heaviest first.
        left_out: what was not taken and how many, for a message.
    """

    classes: tuple[str, ...]
    images: list[dict]
    annotations: dict[int, list[dict]]
    left_out: dict[str, int]


def choose_labels(
    store: PseudoLabelStore, min_weight: float = 0.0, top_k: int = 0, need_mask: bool = False, keep_empty: bool = False
) -> Labels:
    """Choose instances by weight.

    An image without any instance left is left out too: it does show something, and would teach other programs that it is background.

    Args:
        store: to choose from.
        min_weight: lighter ones are left out.
        top_k: only the heaviest so many of an image; 0 takes all.
        need_mask: leave out instances that have a box only.
        keep_empty: keep images without instances.

    Raises:
        ValueError: nothing is left.
    """
    annotations: dict[int, list[dict]] = {image['id']: [] for image in store.content['images']}
    left_out = dict.fromkeys(('too light', 'without mask', 'beyond the heaviest', 'images without labels'), 0)
    for annotation in sorted(store.content['annotations'], key=lambda a: (-a['weight'], a['id'])):
        found = annotations[annotation['image_id']]
        if annotation['weight'] < min_weight:
            left_out['too light'] += 1
        elif need_mask and not annotation['area']:
            left_out['without mask'] += 1
        elif top_k and len(found) >= top_k:
            left_out['beyond the heaviest'] += 1
        else:
            found.append(annotation)
    images = [image for image in store.content['images'] if keep_empty or annotations[image['id']]]
    left_out['images without labels'] = len(annotations) - len(images)
    if not any(annotations.values()):
        why = ', '.join(f'{count} {what}' for what, count in left_out.items() if count)
        raise ValueError(f'No label is left of {len(store.content["annotations"])} ({why}). Lower min_weight, or take boxes too.')
    kept = {image['id'] for image in images}
    return Labels(
        tuple(category['name'] for category in store.content['categories']),
        images,
        {key: found for key, found in annotations.items() if key in kept},
        {name: count for name, count in left_out.items() if count},
    )


def decode(annotation: Mapping) -> NDArray[np.bool_]:
    """Mask of an annotation, bool (h, w)."""
    return coco_mask.decode(annotation['segmentation']).view(bool)


def write_coco(labels: Labels, out: Path, images: Path | None = None, val_share: float = 0.0, seed: int = 0) -> list[Path]:
    """``train.json`` and, with a share, ``val.json``; pictures in ``images/`` where their folder is given.

    Weight and stage stay on each annotation; other programs pass over them.

    Args:
        labels: to write.
        out: folder.
        images: where the pictures are; None writes labels only.
        val_share: of the images, for ``val.json``.
        seed: of the division.

    Returns:
        the files.
    """
    written = []
    for split, members in divide(labels, val_share, seed).items():
        annotations = [annotation for image in members for annotation in labels.annotations[image['id']]]
        categories = [dict(id=index, name=name) for index, name in enumerate(labels.classes, 1)]
        written.append(out / f'{split}.json')
        with atomic_write(written[-1]) as file:
            json.dump(dict(info={}, images=members, annotations=annotations, categories=categories), file, ensure_ascii=False)
        place_pictures(members, images, out / 'images')
    return written


def write_yolo(labels: Labels, out: Path, images: Path, val_share: float = 0.0, seed: int = 0, boxes: bool = False) -> list[Path]:
    """``data.yaml``, ``images/<split>`` and ``labels/<split>``: one line an object, its class and one polygon in shares of the picture.

    Holes and further parts of an object hang on bridges without width. Objects without mask are left out, unless ``boxes``.

    Args:
        labels: to write.
        out: folder.
        images: where the pictures are.
        val_share: of the images, for ``val``; without any, ``val`` names the training images.
        seed: of the division.
        boxes: write ``class x y w h`` for detectors in place of polygons.

    Returns:
        ``[data.yaml]``.
    """
    splits = divide(labels, val_share, seed)
    for split, members in splits.items():
        place_pictures(members, images, out / 'images' / split)
        for image in members:
            lines = [_yolo_line(annotation, image, boxes) for annotation in labels.annotations[image['id']]]
            with atomic_write(out / 'labels' / split / f'{Path(image["file_name"]).stem}.txt') as file:
                file.write(''.join(f'{line}\n' for line in lines if line))
    names = ''.join(f'  {index}: {json.dumps(name, ensure_ascii=False)}\n' for index, name in enumerate(labels.classes))
    last = list(splits)[-1]
    note = '' if last == 'val' else '  # the training images: nothing was set aside'
    with atomic_write(out / 'data.yaml') as file:
        file.write(f'path: {json.dumps(str(out.resolve()))}\ntrain: images/train\nval: images/{last}{note}\nnames:\n{names}')
    return [out / 'data.yaml']


def write_voc(labels: Labels, out: Path, images: Path, val_share: float = 0.0, seed: int = 0) -> list[Path]:
    """A VOC devkit: XML with boxes, label images of instances and classes, image lists. Where masks overlap the heavier one has the pixel.

    Returns:
        the image lists.

    Raises:
        ValueError: more instances in an image than a label image can tell apart.
    """
    written = []
    for split, members in divide(labels, val_share, seed).items():
        place_pictures(members, images, out / 'JPEGImages')
        for image in members:
            _write_voc_image(image, labels.annotations[image['id']], labels.classes, out)
        written.append(out / f'ImageSets/Main/{split}.txt')
        with atomic_write(written[-1]) as file:
            file.write(''.join(f'{Path(image["file_name"]).stem}\n' for image in members))
    return written


def write_labelme(labels: Labels, out: Path, images: Path) -> list[Path]:
    """One JSON beside each picture, masks pixel by pixel (shape type ``mask``), boxes without mask as rectangles.

    Returns:
        the files.
    """
    place_pictures(labels.images, images, out)
    written = []
    for image in labels.images:
        shapes = [_labelme_shape(annotation, labels.classes) for annotation in labels.annotations[image['id']]]
        content = dict(version='5.5.0', flags={}, shapes=shapes, imagePath=image['file_name'], imageData=None)
        written.append(out / f'{Path(image["file_name"]).stem}.json')
        with atomic_write(written[-1]) as file:
            json.dump(content | dict(imageHeight=image['height'], imageWidth=image['width']), file, ensure_ascii=False)
    return written


def divide(labels: Labels, val_share: float, seed: int) -> dict[str, list[dict]]:
    """Images of ``train`` and, with a share, of ``val``, class by class; those without labels are for training."""
    if not val_share:
        return dict(train=labels.images)
    classes = [sorted({a['category_id'] for a in labels.annotations[image['id']]}) for image in labels.images]
    val = set(stratified_split(classes, val_share, seed)[1])
    parts = ([k for k in range(len(labels.images)) if (k in val) == chosen] for chosen in (False, True))
    return {split: [labels.images[k] for k in part] for split, part in zip(('train', 'val'), parts, strict=True)}


def place_pictures(members: Sequence[Mapping], source: Path | None, target: Path) -> None:
    """Link pictures into a folder, or copy them where links do not work.

    Raises:
        FileNotFoundError: some are not in the source folder.
    """
    if source is None:
        return
    missing = [image['file_name'] for image in members if not (source / image['file_name']).is_file()]
    if missing:
        raise FileNotFoundError(f'{len(missing)} of {len(members)} pictures are not in {str(source)!r}, the first: {missing[0]!r}.')
    target.mkdir(parents=True, exist_ok=True)
    for image in members:
        link_or_copy(source / image['file_name'], target / image['file_name'])


def remove_export(out: Path) -> None:
    """Take an earlier export away, so that no label of it is left among the new ones.

    Raises:
        FileExistsError: the folder holds something else.
    """
    if not out.exists():
        return
    known = {'train.json', 'val.json', 'images', 'labels', 'data.yaml', 'JPEGImages', 'Annotations', 'ImageSets'}
    known |= {'SegmentationObject', 'SegmentationClass'}
    labelme = {path.name for path in out.iterdir() if path.with_suffix('.json').is_file()}
    strange = sorted({path.name for path in out.iterdir()} - known - labelme)
    if strange:
        raise FileExistsError(f'{str(out)!r} holds {strange[0]!r}, which is no part of an export. Choose another folder.')
    shutil.rmtree(out)


def _yolo_line(annotation: Mapping, image: Mapping, boxes: bool) -> str:
    w, h = image['width'], image['height']
    if boxes:
        x, y, width, height = annotation['bbox']
        values = np.array([(x + width / 2) / w, (y + height / 2) / h, width / w, height / h])
    elif annotation['area']:
        outlines = [pulled_in(outline) for outline in mask_outlines(decode(annotation))]
        values = (single_polygon(outlines) / (w, h)).flatten()
    else:
        return ''
    return ' '.join([str(annotation['category_id'] - 1), *(f'{value:.6f}' for value in values)])


def _write_voc_image(image: Mapping, annotations: Sequence[Mapping], classes: Sequence[str], out: Path) -> None:
    if len(annotations) > _MOST:
        raise ValueError(f'{image["file_name"]!r} has {len(annotations)} instances, VOC label images hold {_MOST}. Use top_k.')
    stem, size = Path(image['file_name']).stem, (image['height'], image['width'])
    root = ElementTree.Element('annotation')
    ElementTree.SubElement(root, 'filename').text = image['file_name']
    for name, value in zip(('width', 'height', 'depth'), (size[1], size[0], 3)):
        parent = root.find('size') if root.find('size') is not None else ElementTree.SubElement(root, 'size')
        ElementTree.SubElement(parent, name).text = str(value)
    instances, kinds = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for index in range(len(annotations) - 1, -1, -1):
        mask = decode(annotations[index])
        instances[mask], kinds[mask] = index + 1, annotations[index]['category_id']
    for annotation in annotations:
        root.append(_voc_object(annotation, classes))
    ElementTree.indent(root)
    with atomic_write(out / f'Annotations/{stem}.xml') as file:
        file.write(ElementTree.tostring(root, encoding='unicode'))
    if instances.any():
        for folder, indices in (('SegmentationObject', instances), ('SegmentationClass', kinds)):
            with atomic_write(out / folder / f'{stem}.png', 'wb') as file:
                file.write(cv2.imencode('.png', indices)[1].tobytes())


def _voc_object(annotation: Mapping, classes: Sequence[str]) -> ElementTree.Element:
    """Corners count from 1 and are inclusive; whole numbers where they are whole."""
    element = ElementTree.Element('object')
    x, y, w, h = annotation['bbox']
    ElementTree.SubElement(element, 'name').text = classes[annotation['category_id'] - 1]
    for name, text in (('pose', 'Unspecified'), ('truncated', '0'), ('difficult', '0'), ('weight', repr(float(annotation['weight'])))):
        ElementTree.SubElement(element, name).text = text
    box = ElementTree.SubElement(element, 'bndbox')
    for name, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), (x + 1, y + 1, x + w, y + h)):
        ElementTree.SubElement(box, name).text = str(int(value)) if value == int(value) else repr(float(value))
    return element


def _labelme_shape(annotation: Mapping, classes: Sequence[str]) -> dict:
    x, y, w, h = annotation['bbox']
    shape = dict(label=classes[annotation['category_id'] - 1], group_id=None, description=f'weight {annotation["weight"]:.3f}', flags={})
    shape |= dict(weight=annotation['weight'], bbox=annotation['bbox'])
    if not annotation['area']:
        return shape | dict(shape_type='rectangle', points=[[x, y], [x + w, y + h]], mask=None)
    mask = decode(annotation)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    png = cv2.imencode('.png', crop.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
    return shape | dict(shape_type='mask', points=corners, mask=base64.b64encode(png.tobytes()).decode())

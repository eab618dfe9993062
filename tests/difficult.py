"""Sixteen images with labels that are difficult for other programs: 28 instances in a label store.

Objects with several parts, holes, single pixels, at borders, with only boxes, overlapping; images with EXIF orientation, PNG, ``.JPG``,
palettes, spaces and umlauts in names, equal names in two folders, and names that differ only in the extension.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore

CLASSES = ('cat', 'traffic light', 'Größe "x"', 'dog')
SIZE = (60, 90)


def disc(size, y, x, radius):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def pixels(size, *rectangles):
    """Rectangles (y1, x1, y2, x2), half-open."""
    mask = np.zeros(size, bool)
    for y1, x1, y2, x2 in rectangles:
        mask[y1:y2, x1:x2] = True
    return mask


def ragged(size, seed, share):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), 2.5)
    return noise > np.quantile(noise, 1 - share)


def instances():
    """Image name -> (size as labelled, EXIF orientation, [(class, mask or None, box or None, weight)])."""
    upright, ring = (90, 60), disc(SIZE, 30, 40, 22) & ~disc(SIZE, 30, 40, 9)
    letter = pixels(SIZE, (5, 5, 50, 15), (40, 5, 50, 60), (5, 50, 50, 60))
    return {
        'plain.jpg': (
            SIZE,
            1,
            [(0, disc(SIZE, 30, 30, 15), None, 0.9), (3, disc(SIZE, 30, 70, 12), None, 0.8), (1, disc(SIZE, 52, 50, 6), None, 0.1)],
        ),
        'parts.jpg': (SIZE, 1, [(1, disc(SIZE, 20, 15, 10) | disc(SIZE, 40, 70, 14) | disc(SIZE, 50, 30, 5), None, 0.7)]),
        'hole.png': (SIZE, 1, [(2, ring | disc(SIZE, 30, 40, 3), None, 0.6), (0, letter & ~ring, None, 0.55)]),
        'single pixels.jpg': (
            SIZE,
            1,
            [(0, pixels(SIZE, (10, 10, 11, 11)), None, 0.5), (1, pixels(SIZE, (59, 89, 60, 90)), None, 0.4)]
            + [(3, pixels(SIZE, (0, 0, 1, 2)), None, 0.45), (3, pixels(SIZE, (30, 20, 31, 70)), None, 0.35)],
        ),
        'border.jpg': (SIZE, 1, [(0, pixels(SIZE, (0, 0, 60, 4)), None, 1.0), (3, pixels(SIZE, (0, 4, 60, 90)), None, 0.2)]),
        'boxes.jpg': (SIZE, 1, [(0, None, (2.25, 3.5, 40.75, 50.125), 0.9), (2, None, (50.0, 0.0, 90.0, 60.0), 0.3)]),
        'turned.jpg': (upright, 6, [(0, disc(upright, 20, 20, 12), (7.6, 7.7, 33.1, 33.2), 0.9), (1, None, (1.0, 50.0, 30.0, 89.0), 0.5)]),
        'upside down.JPG': (SIZE, 3, [(3, disc(SIZE, 15, 20, 11), None, 0.8)]),
        'Größe ü 9.png': (SIZE, 1, [(2, ragged(SIZE, 0, 0.3), None, 0.7)]),
        'UPPER.JPG': (SIZE, 1, [(1, disc(SIZE, 30, 45, 25), (20.3, 5.2, 70.9, 55.4), 0.65)]),
        'day/0001.jpg': (SIZE, 1, [(0, disc(SIZE, 20, 20, 12), None, 0.9)]),
        'night/0001.jpg': (SIZE, 1, [(3, disc(SIZE, 40, 60, 15), None, 0.8), (3, None, (0.5, 0.5, 20.5, 30.5), 0.8)]),
        'same.jpg': (SIZE, 1, [(1, disc(SIZE, 25, 25, 9), None, 0.7)]),
        'same.png': (SIZE, 1, [(2, disc(SIZE, 35, 55, 18), None, 0.6)]),
        'overlap.jpg': (
            SIZE,
            1,
            [(0, disc(SIZE, 30, 35, 18), None, 0.9), (0, disc(SIZE, 30, 50, 18), None, 0.6), (3, disc(SIZE, 30, 35, 5), None, 0.3)],
        ),
        'palette.png': (SIZE, 1, [(1, ragged(SIZE, 1, 0.2), (10.5, 5.5, 80.5, 50.5), 0.75)]),
    }


def make(folder):
    """Write the images; returns their labels as a store."""
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for number, (name, (size, orientation, objects)) in enumerate(instances().items(), 1):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = cv2.resize(rng.integers(0, 255, (6, 9, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
        image, exif = Image.fromarray(noise), Image.Exif()
        if orientation != 1:
            back = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[orientation]
            image, exif[0x0112] = image.transpose(back), orientation
        (image.convert('P') if 'palette' in name else image).save(path, exif=exif)
        stem = name.rsplit('.', 1)[0]
        img_id = name if stem == 'same' else stem
        images.append(dict(id=number, img_id=img_id, file_name=name, height=size[0], width=size[1]))
        for label, mask, box, weight in objects:
            annotations.append(annotation(len(annotations) + 1, number, label, size, mask, box, weight))
    categories = [dict(id=number, name=name) for number, name in enumerate(CLASSES, 1)]
    return PseudoLabelStore(dict(info=dict(stage='segmentation'), images=images, annotations=annotations, categories=categories))


def annotation(number, image, label, size, mask, box, weight):
    code = coco_mask.encode(np.asfortranarray(np.zeros(size, np.uint8) if mask is None else mask, np.uint8))
    x1, y1, x2, y2 = box or extent(mask)
    return dict(
        id=number, image_id=image, category_id=label + 1, bbox=[x1, y1, x2 - x1, y2 - y1], area=float(coco_mask.area(code)),
        segmentation=dict(size=list(code['size']), counts=code['counts'].decode()), iscrowd=0, weight=weight, stage='segmentation',
    )  # fmt: skip


def extent(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

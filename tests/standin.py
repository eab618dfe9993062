"""Small data in the official layouts: VOC 2007 and 2012, both joined, COCO, rendered figures, and exported pseudo labels.

A workspace is a folder in which documented commands can be run: everything is where configs expect it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import toy
from PIL import Image
from pycocotools import mask as coco_mask

from mmlabelpenet.apis import load_config
from mmlabelpenet.datasets.proposals import ProposalRecord
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.devkit import open_devkit
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.exports.coco import write_coco
from mmlabelpenet.workbench.exports.labels import choose_labels
from mmlabelpenet.workbench.join_voc import join_devkits
from mmlabelpenet.workbench.proposal_writer import write_proposals
from mmlabelpenet.workbench.quickstart.rendered import render_dataset
from mmlabelpenet.workbench.voc_files import voc_palette

ROOT = Path(__file__).resolve().parents[1]
ANIMALS = ('cat', 'cow', 'dog', 'horse', 'sheep')
LISTS = {  # of each year: list -> images by number
    'VOC2007': {'Main/train': range(0, 3), 'Main/val': range(3, 5), 'Main/trainval': range(0, 5), 'Main/test': range(5, 8)},
    'VOC2012': {
        **{'Main/train': range(0, 4), 'Main/val': range(4, 7), 'Main/trainval': range(0, 7), 'Main/test': range(7, 9)},
        **{'Segmentation/train': range(0, 2), 'Segmentation/val': range(4, 6), 'Segmentation/trainval': [0, 1, 4, 5]},
        **{'Segmentation/test': range(8, 10), 'Segmentation/SBD/train': [0, 1, 2, 5], 'Segmentation/SBD/val': [3, 6]},
        'Segmentation/trainaug': [0, 1, 2, 3, 6],
    },
    'VOC2012mini': {  # as tools/dataset_converters/voc12_short_lists.py makes it
        **{
            'Main/mini_train': range(0, 4),
            'Main/mini_test': range(4, 7),
            'Main/animals_train': range(7, 11),
            'Main/animals_test': range(0, 7),
        },
        **{'Segmentation/mini_train': range(0, 4), 'Segmentation/mini_test': range(4, 7)},
    },
}
SEGMENTED = ('Segmentation/trainval', 'Segmentation/mini_train', 'Segmentation/mini_test')  # lists of images with masks
WITHOUT_ANNOTATIONS = {'VOC2007': (), 'VOC2012': range(7, 10), 'VOC2012mini': ()}  # they are on VOC's server


@dataclass(frozen=True)
class Figures:
    """A drawn image: RGB (h, w, 3), names of its objects, which of them are difficult, and the object number of each pixel (h, w)."""

    image: np.ndarray
    names: tuple[str, ...]
    difficult: tuple[bool, ...]
    instances: np.ndarray

    def box(self, number):
        """x1, y1, x2, y2 of an object, half-open."""
        y, x = np.nonzero(self.instances == number + 1)
        return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def draw(seed, names):
    """One or two ellipses side by side on a grey background, vertical or horizontal."""
    rng = np.random.default_rng(seed)
    size = (96, 128) if seed % 2 else (128, 96)
    image, instances = rng.integers(100, 120, (*size, 3)).astype(np.uint8), np.zeros(size, np.uint8)
    y, x = np.mgrid[: size[0], : size[1]]
    share = size[1] / len(names)
    for number, name in enumerate(names):
        centre, radius = ((number + 0.5) * share, size[0] / 2), (rng.uniform(0.3, 0.42) * share, rng.uniform(20, 40))
        inside = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
        instances[inside] = number + 1
        image[inside] = np.random.default_rng(len(name)).integers(0, 255, 3)
    return Figures(image, tuple(names), tuple(seed % 5 == 4 and k > 0 for k in range(len(names))), instances)


def scenes(seed, count):
    """Images with animals; every second one also shows a person."""
    return [draw(seed + k, (ANIMALS[k % 5],) if k % 2 else (ANIMALS[k % 5], 'person')) for k in range(count)]


def write_voc(root, year):
    """A year of VOC: XML with nested parts, palettes, void borders, lists of every class."""
    lists = LISTS[year]
    drawn = scenes(int(year[3:7]), 1 + max(map(max, lists.values())))
    images = {f'{k:06d}' if year == 'VOC2007' else f'2008_{k:06d}': figures for k, figures in enumerate(drawn)}
    names = list(images)
    for folder in ('Annotations', 'JPEGImages', 'SegmentationClass', 'SegmentationObject'):
        (root / folder).mkdir(parents=True)
    for number, (image_id, figures) in enumerate(images.items()):
        Image.fromarray(figures.image).save(root / f'JPEGImages/{image_id}.jpg', quality=95)
        if number not in WITHOUT_ANNOTATIONS[year]:
            (root / f'Annotations/{image_id}.xml').write_text(voc_xml(image_id, figures))
        if any(number in numbers for place, numbers in lists.items() if place in SEGMENTED):
            write_masks(root, image_id, figures)
    for place, numbers in lists.items():
        folder, split = (root / 'ImageSets' / place).parent, place.split('/')[-1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{split}.txt').write_text(''.join(f'{names[k]}\n' for k in numbers))
        for name in VOC_CLASSES if folder.name == 'Main' and not set(numbers) & set(WITHOUT_ANNOTATIONS[year]) else ():
            (folder / f'{name}_{split}.txt').write_text(''.join(f'{names[k]} {flag(images[names[k]], name):2d}\n' for k in numbers))


def flag(figures, name):
    """1 where an image shows a class, 0 where all its objects are difficult, else -1."""
    found = [difficult for own, difficult in zip(figures.names, figures.difficult) if own == name]
    return -1 if not found else 0 if all(found) else 1


def voc_xml(image_id, figures):
    objects = ''
    for number, name in enumerate(figures.names):
        x1, y1, x2, y2 = figures.box(number)
        part = (
            f'<part><name>head</name><bndbox><xmin>{x1 + 2}</xmin><ymin>{y1 + 2}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></part>'
        )
        objects += (
            f'<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{int(figures.difficult[number])}</difficult>'
            f'<bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>'
            f'{part if name == "person" else ""}</object>\n'
        )
    h, w = figures.instances.shape
    size = f'<size><width>{w}</width><height>{h}</height><depth>3</depth></size>'
    return f'<annotation><filename>{image_id}.jpg</filename>{size}<segmented>1</segmented>\n{objects}</annotation>\n'


def write_masks(root, image_id, figures):
    """Class and object masks; one pixel around each object is void."""
    inside = figures.instances > 0
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:, 1:] |= inside[:, :-1]
    indices = np.array([0, *(1 + VOC_CLASSES.index(name) for name in figures.names)], np.uint8)
    for folder, values in (('SegmentationClass', indices[figures.instances]), ('SegmentationObject', figures.instances.copy())):
        values[grown & ~inside] = 255
        coloured = Image.fromarray(values)
        coloured.putpalette(voc_palette())
        coloured.save(root / f'{folder}/{image_id}.png')


def write_official_coco(root):
    """COCO 2017 with all of its 80 categories, a crowd, and an image that shows nothing."""
    classes = load_config(ROOT / 'configs/labelpenet/labelpenet_lite0_coco17.py').train_dataloader.dataset.metainfo.classes
    (root / 'annotations').mkdir(parents=True)
    for split, first, count in (('train2017', 101, 5), ('val2017', 201, 3)):
        (root / split).mkdir()
        images, notes = [], []
        for number, figures in enumerate(scenes(first, count), first):
            h, w = figures.instances.shape
            images.append(dict(id=number, file_name=f'{number:012d}.jpg', height=h, width=w))
            Image.fromarray(figures.image).save(root / split / images[-1]['file_name'], quality=95)
            for k, name in enumerate(figures.names if number < first + count - 1 else ()):
                x1, y1, x2, y2 = figures.box(k)
                polygon = [[x1, (y1 + y2) // 2, (x1 + x2) // 2, y1, x2, (y1 + y2) // 2, (x1 + x2) // 2, y2]]
                code = coco_mask.encode(np.asfortranarray(figures.instances == k + 1))
                counts = dict(size=[h, w], counts=code['counts'].decode())
                note = dict(id=len(notes) + 1, image_id=number, category_id=classes.index(name) + 1, bbox=[x1, y1, x2 - x1, y2 - y1])
                crowd = int(number == first and k == 1)
                notes.append(dict(note, area=(x2 - x1) * (y2 - y1) / 2, iscrowd=crowd, segmentation=counts if crowd else polygon))
        categories = [dict(id=number, name=name, supercategory='thing') for number, name in enumerate(classes, 1)]
        content = dict(images=images, annotations=notes, categories=categories)
        (root / f'annotations/instances_{split}.json').write_text(json.dumps(content))


def write_workspace(folder):
    """Data of every layout below ``folder/data``, with links to the project's folders; returns the folder."""
    data = folder / 'data'
    for year in LISTS:
        write_voc(data / 'VOCdevkit' / year, year)
    join_devkits([data / 'VOCdevkit' / year for year in ('VOC2007', 'VOC2012')], data / 'VOCdevkit/VOC0712')
    write_official_coco(data / 'coco')
    render_dataset(data / 'rendered', toy.SETTINGS)
    for year, split in (('07', 'trainval'), ('12', 'trainaug')):
        devkit = VOCDevkit(data / f'VOCdevkit/VOC20{year}', VOC_CLASSES)
        write_coco(choose_labels(store_of(devkit, split)), data / f'retrain/voc{year}', devkit.data_root / 'JPEGImages')
    return folder


def store_of(devkit, split):
    """Annotated boxes as pseudo labels with weight 1 and masks that fill them."""
    images, notes = [], []
    for number, image_id in enumerate(devkit.image_ids(split), 1):
        h, w = devkit.image_size(image_id)
        images.append(dict(id=number, img_id=image_id, file_name=devkit.image_path(image_id).name, height=h, width=w))
        objects = devkit.objects(image_id)
        for box, label in zip(objects.bboxes.tolist(), objects.labels.tolist()):
            mask = np.zeros((h, w), np.uint8, order='F')
            mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 1
            code = coco_mask.encode(mask)
            bbox = [*box[:2], box[2] - box[0], box[3] - box[1]]
            note = dict(id=len(notes) + 1, image_id=number, category_id=label + 1, bbox=bbox, weight=1.0, iscrowd=0, area=float(mask.sum()))
            notes.append(dict(note, segmentation=dict(size=list(code['size']), counts=code['counts'].decode())))
    categories = [dict(id=number, name=name) for number, name in enumerate(devkit.classes, 1)]
    return PseudoLabelStore(dict(info={}, images=images, annotations=notes, categories=categories))


def write_random_proposals(dataset):
    """Write the proposal file named in a data set's config, with random boxes, unless it exists."""
    path = Path(dataset['proposals'])
    if path.is_file():
        return
    devkit, rng = open_devkit(dataset['data_root'], ()), np.random.default_rng(0)
    records = []
    for image_id in devkit.image_ids(dataset['split']):
        h, w = devkit.image_size(image_id)
        corner, extent = rng.uniform((0, 0), (w / 2, h / 2), (24, 2)), rng.uniform(16, 60, (24, 2))
        boxes = np.concatenate([corner, corner + extent], 1).clip(0, (w, h, w, h)).astype(np.float32)
        records.append(ProposalRecord(image_id, (h, w), boxes, rng.permutation(24).astype(np.float32) / 24))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_proposals(path, records, dict(split=dataset['split']))

"""Check what other programs read from an export: python readers.py PROGRAM FORMAT FOLDER FOUND.json

Runs in the environment of clients_env.sh. FOUND.json is {image name: [[class, box xyxy or null, mask run-length code or null], ...]}, where
the image name is its path in the export, without file extension.
"""

import json
import os
import sys
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np

SPLITS = ('train', 'val')


def stem(path, root=None):
    path = PurePosixPath(os.path.relpath(path, root) if root else path)
    return str(path.with_suffix(''))


def encoded(mask):
    from pycocotools import mask as coco_mask

    if mask is None:
        return None
    code = coco_mask.encode(np.asfortranarray(np.asarray(mask) > 0, np.uint8))
    return dict(size=list(code['size']), counts=code['counts'].decode())


def entry(name, box, mask=None):
    return [name, None if box is None else [float(value) for value in box], encoded(mask)]


# --- COCO ---------------------------------------------------------------------------------------------------------------------------------
def pycocotools_coco(folder):
    from pycocotools.coco import COCO

    found = {}
    for split in SPLITS:
        coco = COCO(folder / f'{split}.json')
        names = {category['id']: category['name'] for category in coco.loadCats(coco.getCatIds())}
        for image in coco.loadImgs(coco.getImgIds()):
            notes = coco.loadAnns(coco.getAnnIds(image['id']))
            found[stem(image['file_name'])] = [
                entry(names[n['category_id']], [*n['bbox'][:2], n['bbox'][0] + n['bbox'][2], n['bbox'][1] + n['bbox'][3]],
                      coco.annToMask(n) if n['segmentation'] else np.zeros((image['height'], image['width'])))
                for n in notes
            ]  # fmt: skip
    return found


def torchvision_coco(folder):
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

    found = {}
    for split in SPLITS:
        data = CocoDetection(folder / 'images', folder / f'{split}.json')
        names = {category['id']: category['name'] for category in data.coco.loadCats(data.coco.getCatIds())}
        wrapped = wrap_dataset_for_transforms_v2(data, target_keys=['boxes', 'labels', 'masks'])
        for index in range(len(data)):
            image, target = wrapped[index]
            assert image.size[::-1] == tuple(target['masks'].shape[1:]), 'image and masks differ in size'
            name = stem(data.coco.loadImgs(data.ids[index])[0]['file_name'])
            found[name] = [
                entry(names[int(label)], box.tolist(), mask.numpy())
                for label, box, mask in zip(target['labels'], target['boxes'], target['masks'], strict=True)
            ]
    return found


def supervision_coco(folder):
    import supervision as sv

    found = {}
    for split in SPLITS:
        data = sv.DetectionDataset.from_coco(str(folder / 'images'), str(folder / f'{split}.json'), force_masks=True)
        for path, image, notes in data:
            found[stem(path, folder / 'images')] = sv_entries(data, notes, image)
    return found


def sv_entries(data, notes, image):
    masks = [None] * len(notes) if notes.mask is None else notes.mask
    assert all(mask is None or mask.shape == image.shape[:2] for mask in masks), 'image and masks differ in size'
    return [
        entry(data.classes[label], box, mask if mask is not None and np.any(mask) else None)
        for label, box, mask in zip(notes.class_id, notes.xyxy, masks, strict=True)
    ]


def mmdet_coco(folder):
    from mmdet.datasets import CocoDataset
    from mmdet.datasets.transforms import LoadAnnotations

    names = [category['name'] for category in json.loads((folder / 'train.json').read_text(encoding='utf-8'))['categories']]
    found, load = {}, LoadAnnotations(with_bbox=True, with_mask=True, poly2mask=True)
    for split in SPLITS:
        data = CocoDataset(ann_file=f'{split}.json', data_root=str(folder), data_prefix=dict(img='images/'), metainfo=dict(classes=names),
                           pipeline=[], serialize_data=False)  # fmt: skip
        for info in data.data_list:
            size = (info['height'], info['width'])
            for instance in info['instances']:
                instance.setdefault('mask', dict(size=size, counts=encoded(np.zeros(size))['counts']))
            result = load(dict(info, img_shape=size, ori_shape=size))
            found[stem(info['img_path'], folder / 'images')] = [
                entry(names[label], box, mask)
                for label, box, mask in zip(result['gt_bboxes_labels'], result['gt_bboxes'].numpy(), result['gt_masks'].masks, strict=True)
            ]
    return found


def datumaro_coco(folder):
    with tempfile.TemporaryDirectory() as place:  # docs/retrain.md says the same with ln
        root = Path(place)
        (root / 'annotations').mkdir()
        for split in SPLITS:
            (root / f'annotations/instances_{split}.json').symlink_to(folder / f'{split}.json')
        (root / 'images').symlink_to(folder / 'images')
        return datumaro_items(root, 'coco')


def sahi_coco(folder):
    from sahi.utils.coco import Coco
    from sahi.utils.cv import get_bool_mask_from_coco_segmentation

    found = {}
    for split in SPLITS:
        coco = Coco.from_coco_dict_or_path(str(folder / f'{split}.json'), image_dir=str(folder / 'images'))
        for image in coco.images:
            entries = []
            for note in image.annotations:
                x, y, w, h = note.bbox
                mask = get_bool_mask_from_coco_segmentation(note.segmentation, image.width, image.height) if note.segmentation else None
                entries.append(entry(note.category_name, [x, y, x + w, y + h], mask))
            found[stem(image.file_name, folder / 'images' if os.path.isabs(image.file_name) else None)] = entries
    return found


def globox_coco(folder):
    from globox import AnnotationSet

    return globox_entries([AnnotationSet.from_coco(folder / f'{split}.json') for split in SPLITS])


def globox_entries(sets, names=None):
    return {
        stem(note.image_id): [
            entry(names[int(box.label)] if names else box.label, (box.xmin, box.ymin, box.xmax, box.ymax)) for box in note.boxes
        ]
        for found in sets
        for note in found
    }


# --- YOLO ---------------------------------------------------------------------------------------------------------------------------------
def yolo_names(folder):
    import yaml

    return yaml.safe_load((folder / 'data.yaml').read_text(encoding='utf-8'))['names']


def ultralytics_yolo(folder):
    import cv2
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    data, found = check_det_dataset(str(folder / 'data.yaml')), {}
    segments = any(len(line.split()) > 5 for path in folder.rglob('labels/*/*.txt') for line in path.read_text().splitlines())
    for split in SPLITS:
        task = 'segment' if segments else 'detect'
        dataset = YOLODataset(img_path=data[split], data=data, task=task, augment=False, imgsz=96, rect=False, cache=False, prefix='')
        for info in dataset.labels:
            h, w = info['shape']
            assert cv2.imread(info['im_file']).shape[:2] == (h, w)
            entries = []
            polygons = (
                dataset.update_labels_info(dict(info, segments=[s.copy() for s in info['segments']]))['instances'].segments
                if segments
                else []
            )
            for k, (label, (x, y, bw, bh)) in enumerate(zip(info['cls'][:, 0], info['bboxes'])):
                box = [(x - bw / 2) * w, (y - bh / 2) * h, (x + bw / 2) * w, (y + bh / 2) * h]
                mask = polygon2mask((h, w), [(polygons[k] * [w, h]).reshape(-1)]) if segments else None
                entries.append(entry(data['names'][int(label)], box, mask))
            found[stem(info['im_file'], folder / 'images' / split)] = entries
    return found


def supervision_yolo(folder):
    import supervision as sv

    found = {}
    for split in SPLITS:
        data = sv.DetectionDataset.from_yolo(str(folder / f'images/{split}'), str(folder / f'labels/{split}'), str(folder / 'data.yaml'))
        for path, image, notes in data:
            found[stem(path, folder / f'images/{split}')] = sv_entries(data, notes, image)
    return found


def datumaro_yolo(folder):
    return datumaro_items(folder, 'yolo')


def globox_yolo(folder):
    from globox import AnnotationSet

    sets = [AnnotationSet.from_yolo_v5(folder / f'labels/{split}', image_folder=folder / f'images/{split}') for split in SPLITS]
    return globox_entries(sets, yolo_names(folder))


# --- VOC ----------------------------------------------------------------------------------------------------------------------------------
def torchvision_voc(folder):
    from torchvision.datasets import VOCDetection, VOCSegmentation

    root, found = folder.parents[1], {}
    classes = [line.split(':')[0] for line in (folder / 'labelmap.txt').read_text(encoding='utf-8').splitlines()[1:]]
    for split in SPLITS:
        data = VOCDetection(root, image_set=split)
        for index in range(len(data)):
            image, target = data[index]
            target = target['annotation']
            assert image.size == (int(target['size']['width']), int(target['size']['height']))
            name = stem(data.images[index], folder / 'JPEGImages')
            boxes = [[int(note['bndbox'][side]) for side in ('xmin', 'ymin', 'xmax', 'ymax')] for note in target['object']]
            found[name] = [entry(note['name'], [b[0] - 1, b[1] - 1, *b[2:]]) for note, b in zip(target['object'], boxes)]
        masks = VOCSegmentation(root, image_set=split)
        for index in range(len(masks)):
            image, target = masks[index]
            assert image.size == target.size and target.mode == 'P'
            kinds, name = np.asarray(target), stem(masks.images[index], folder / 'JPEGImages')
            found[f'classes of {name}'] = [entry(classes[value], None, kinds == value) for value in np.unique(kinds) if 0 < value < 255]
    return found


def mmdet_voc(folder):
    from mmdet.datasets import VOCDataset

    classes = [line.split(':')[0] for line in (folder / 'labelmap.txt').read_text(encoding='utf-8').splitlines()[2:-1]]
    found = {}
    for split in SPLITS:
        places = dict(ann_file=f'VOC2012/ImageSets/Main/{split}.txt', data_prefix=dict(sub_data_root='VOC2012/'))
        data = VOCDataset(data_root=str(folder.parent), **places, metainfo=dict(classes=classes), pipeline=[], serialize_data=False)
        for info in data.data_list:
            assert Path(info['img_path']).is_file()
            found[stem(info['img_path'], folder / 'JPEGImages')] = [
                entry(classes[i['bbox_label']], [i['bbox'][0], i['bbox'][1], i['bbox'][2] + 1, i['bbox'][3] + 1]) for i in info['instances']
            ]
    return found


def datumaro_voc(folder):
    return datumaro_items(folder, 'voc', coordinate_mode='voc-one-based')


def supervision_voc(folder):
    import supervision as sv

    data = sv.DetectionDataset.from_pascal_voc(str(folder / 'JPEGImages'), str(folder / 'Annotations'))
    return {stem(path, folder / 'JPEGImages'): sv_entries(data, notes, image) for path, image, notes in data}


def globox_voc(folder):
    from globox import AnnotationSet

    return globox_entries([AnnotationSet.from_pascal_voc(folder / 'Annotations')])


# --- LabelMe ------------------------------------------------------------------------------------------------------------------------------
def labelme_labelme(folder):
    import io

    from labelme._label_file import read_label_file
    from labelme.utils import shape_to_mask
    from PIL import Image

    found = {}
    for path in sorted(folder.rglob('*.json')):
        data, objects = read_label_file(str(path)), {}
        size = Image.open(io.BytesIO(data.image_data)).size[::-1]
        for number, shape in enumerate(data.shapes):
            objects.setdefault(('group', shape['group_id']) if shape['group_id'] is not None else number, []).append(shape)
        entries = []
        for shapes in objects.values():
            mask, first = np.zeros(size, bool), shapes[0]
            for shape in shapes:
                if shape['shape_type'] == 'mask':
                    (x1, y1), (x2, y2) = np.array(shape['points']).astype(int)
                    mask[y1 : y2 + 1, x1 : x2 + 1] |= shape['mask']
                elif shape['shape_type'] == 'polygon':
                    mask |= shape_to_mask(size, shape['points'], 'polygon')
            box = None if mask.any() else np.array(first['points']).flatten()
            entries.append(entry(first['label'], box, mask if mask.any() else None))
        found[stem(path, folder)] = entries[::-1]
    return found


def supervision_labelme(folder):
    import supervision as sv

    data = sv.DetectionDataset.from_labelme(str(folder), str(folder))
    return {stem(path, folder): sv_entries(data, notes, image)[::-1] for path, image, notes in data}


def globox_labelme(folder):
    from globox import AnnotationSet

    return {name: entries[::-1] for name, entries in globox_entries([AnnotationSet.from_labelme(folder)]).items()}


# ------------------------------------------------------------------------------------------------------------------------------------------
def datumaro_items(folder, kind, **options):
    from datumaro import AnnotationType, Dataset

    data = Dataset.import_from(str(folder), kind, **options)
    names, found = [label.name for label in data.categories()[AnnotationType.label]], {}
    for item in data:
        size, entries = item.media.size, {}
        for note in item.annotations:
            box, mask = None, None
            if note.type == AnnotationType.bbox:
                box = [note.x, note.y, note.x + note.w, note.y + note.h]
            elif note.type == AnnotationType.mask:
                mask = note.image
            elif note.type == AnnotationType.polygon:
                from pycocotools import mask as coco_mask

                mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([note.points], *size)))
            else:
                continue
            entries.setdefault((note.type.name, note.group or len(entries)), []).append((names[note.label], box, mask))
        found[item.id] = [
            entry(parts[0][0], parts[0][1], None if parts[0][2] is None else np.any([part[2] for part in parts], 0))
            for parts in entries.values()
        ]
    return found


def main(program, kind, folder, out):
    found = globals()[f'{program}_{kind}'](Path(folder))
    Path(out).write_text(json.dumps(found), encoding='utf-8')


if __name__ == '__main__':
    main(*sys.argv[1:])

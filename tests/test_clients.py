"""Exports as read by other programs: ``pytest -m clients``, in an environment created on first use by tests/clients/clients_env.sh."""

import json
import os
import subprocess
from pathlib import Path

import difficult
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmlabelpenet.workbench.exports.formats import write_export
from mmlabelpenet.workbench.exports.labels import choose_labels, has_mask

HERE = Path(__file__).parent / 'clients'
ENVIRONMENT = Path(os.environ.get('MMLABELPENET_CLIENTS', HERE.parents[1] / '.clients'))
pytestmark = pytest.mark.clients

KINDS = dict(  # folder -> format and its options
    coco=('coco', dict(val_share=0.25)),
    coco_polygon=('coco', dict(val_share=0.25, polygons=True)),
    yolo=('yolo', dict(val_share=0.25)),
    yolo_boxes=('yolo', dict(val_share=0.25, boxes=True)),
    voc=('voc', dict(val_share=0.25)),
    labelme=('labelme', {}),
    labelme_polygon=('labelme', dict(polygons=True)),
)
BOXES, BOTH = 'boxes', 'boxes and masks'
MASKS = 'masks'  # with boxes of objects without a mask; of the others the program takes the box of the polygon
READS = [  # program, folder, what it reads, how far boxes may be apart, mean IoU of masks
    ('pycocotools', 'coco', BOTH, 0, 1),
    ('pycocotools', 'coco_polygon', BOTH, 0, 1),
    ('torchvision', 'coco', BOTH, 1e-4, 1),
    ('supervision', 'coco', BOTH, 1e-4, 1),
    ('mmdet', 'coco', BOTH, 1e-4, 1),
    ('mmdet', 'coco_polygon', BOTH, 1e-4, 1),
    ('datumaro', 'coco', BOTH, 0.01, 1),
    ('datumaro', 'coco_polygon', BOTH, 0.01, 1),
    ('sahi', 'coco_polygon', MASKS, 0, 1),
    ('globox', 'coco', BOXES, 0, None),
    ('ultralytics', 'yolo', MASKS, None, 0.97),
    ('ultralytics', 'yolo_boxes', BOXES, 1e-3, None),
    ('supervision', 'yolo', MASKS, None, 0.97),
    ('supervision', 'yolo_boxes', BOXES, 1e-3, None),
    ('datumaro', 'yolo_boxes', BOXES, 0.01, None),
    ('torchvision', 'voc', BOTH, 0.5, 0.99),
    ('mmdet', 'voc', BOXES, 0.5, None),
    ('datumaro', 'voc', BOTH, 0.5, 0.99),
    ('supervision', 'voc', BOXES, 0.5, None),
    ('globox', 'voc', BOXES, 1.5, None),  # counts from 1
    ('labelme', 'labelme', MASKS, 0, 1),
    ('labelme', 'labelme_polygon', MASKS, 0, 1),
    ('supervision', 'labelme_polygon', MASKS, 1e-4, 1),
    ('globox', 'labelme_polygon', MASKS, 1e-4, None),
]
TRAINS = [
    ('ultralytics', 'yolo'), ('ultralytics', 'yolo_boxes'), ('torchvision', 'coco'), ('torchvision', 'voc'),
    ('mmdet', 'coco'), ('mmdet', 'coco_polygon'), ('mmdet', 'voc'),
]  # fmt: skip


@pytest.fixture(scope='session')
def python():
    """The interpreter of the environment."""
    if not (ENVIRONMENT / 'bin/python').exists():
        subprocess.run(['bash', HERE / 'clients_env.sh', ENVIRONMENT], check=True)
    return ENVIRONMENT / 'bin/python'


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """All exports of the difficult images, and the labels."""
    root = tmp_path_factory.mktemp('exported')
    labels = choose_labels(difficult.make(root / 'images'))
    for folder, (kind, options) in KINDS.items():
        write_export(kind, labels, place(root, folder), root / 'images', **options)
    return root, labels


def place(root, folder):
    return root / 'VOCdevkit/VOC2012' if folder == 'voc' else root / folder


def run(python, script, *words):
    environment = {**os.environ, 'QT_QPA_PLATFORM': 'offscreen', 'YOLO_OFFLINE': 'true', 'YOLO_AUTOINSTALL': 'false'}
    done = subprocess.run([python, HERE / script, *map(str, words)], capture_output=True, text=True, env=environment, cwd=words[2])
    assert done.returncode == 0, done.stderr[-3000:]


def wanted(labels, folder):
    """Objects of each exported image: class, box xyxy, mask; in VOC's label images the heavier object covers others."""
    for image in labels.images:
        stem = 'same_png' if image['file_name'] == 'same.png' else image['file_name'].rsplit('.', 1)[0]
        objects, taken = [], np.zeros((image['height'], image['width']), bool)
        for note in labels.annotations[image['id']]:
            x, y, w, h = note['bbox']
            mask = coco_mask.decode(note['segmentation']).astype(bool) if has_mask(note) else None
            if folder == 'voc' and mask is not None:
                mask, taken = mask & ~taken, taken | mask
            objects.append((labels.classes[note['category_id'] - 1], [x, y, x + w, y + h], mask))
        yield stem if folder.startswith('coco') else stem.replace('/', '_'), objects


def overlap(first, second):
    return (first & second).sum() / (first | second).sum() if first.shape == second.shape else 0.0


@pytest.mark.parametrize(('program', 'folder', 'what', 'apart', 'share'), READS)
def test_every_object_of_an_export_is_read(python, exported, tmp_path, program, folder, what, apart, share):
    root, labels = exported
    run(python, 'readers.py', program, KINDS[folder][0], place(root, folder), tmp_path / 'found.json')
    found, overlaps = json.loads((tmp_path / 'found.json').read_text(encoding='utf-8')), []
    for name, objects in wanted(labels, folder):
        boxes = [(label, np.array(box)) for label, box, _ in found[name] if box is not None]
        masks = [(label, coco_mask.decode(code).astype(bool)) for label, _, code in found[name] if code is not None]
        for label, box, mask in objects:
            if apart is not None and (what != MASKS or mask is None):
                index = min((k for k, (other, _) in enumerate(boxes) if other == label), key=lambda k: np.abs(boxes[k][1] - box).max())
                assert np.abs(boxes.pop(index)[1] - box).max() <= apart + 1e-9, (name, label)
            if share is not None and mask is not None and mask.any():
                same = [pixels for other, pixels in masks if other == label]
                if program == 'torchvision' and folder == 'voc':  # class masks alone
                    same = [pixels & mask for other, pixels in masks_of_classes(found, name) if other == label]
                assert same, (name, label)
                overlaps.append(max(overlap(pixels, mask) for pixels in same))
    assert share is None or (np.mean(overlaps) >= share and len(overlaps) >= 23)


def masks_of_classes(found, name):
    return [(label, coco_mask.decode(code).astype(bool)) for label, _, code in found[f'classes of {name}']]


@pytest.mark.parametrize(('program', 'folder'), TRAINS)
def test_a_training_step_runs_on_an_export(python, exported, program, folder):
    root, _ = exported
    run(python, 'training.py', program, KINDS[folder][0], place(root, folder))


def test_results_dumped_for_coco_load_in_pycocotools(exported, tmp_path):
    from pycocotools.coco import COCO

    from mmlabelpenet.evaluation.devkit import open_devkit
    from mmlabelpenet.evaluation.dump import Dump
    from mmlabelpenet.evaluation.scoring import Prediction

    root, labels = exported
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/instances_train.json').symlink_to(root / 'coco/train.json')
    (tmp_path / 'train').symlink_to(root / 'coco/images')
    devkit = open_devkit(tmp_path, labels.classes)
    dump, names = Dump(tmp_path / 'results.json', ['segmentation']), devkit.image_ids('train')
    for name in names:
        dump.add('segmentation', name, Prediction(np.array([[1.0, 2, 9, 9]]), np.array([0.5]), np.array([1])), devkit.result_names('train'))
    dump.finish(names)
    loaded = COCO(root / 'coco/train.json').loadRes(str(tmp_path / 'results.json'))
    assert len(loaded.getAnnIds()) == len(names) and loaded.loadAnns(loaded.getAnnIds())[0]['category_id'] == 2

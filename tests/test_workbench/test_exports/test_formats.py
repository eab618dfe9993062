import base64
import contextlib
import importlib.util
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore, PseudoLabelWriter
from mmlabelpenet.datasets.voc import VOCDevkit
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.workbench.exports import formats

CLASSES = ('cat', 'Größe "x"', 'dog')
SIZE = (60, 80)
TOOL = Path(__file__).resolve().parents[3] / 'tools/export_pseudo_labels.py'


def blob(rng):
    noise = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), 4)
    return noise > np.quantile(noise, 0.8)


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for k in range(6):
        Image.fromarray(np.full((*SIZE, 3), 40 * k, np.uint8)).save(folder / f'ü {k}.jpg')
    return folder


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    """Six images with 0 to 3 disjoint instances, ragged, with holes and several parts; some have no mask."""
    import torch

    rng = np.random.default_rng(0)
    writer = PseudoLabelWriter(tmp_path_factory.mktemp('store') / 'detection.json', dict(stage='detection'))
    for k in range(6):
        taken, masks = np.zeros(SIZE, bool), []
        for _ in range(k % 4):
            masks.append(blob(rng) & ~taken)
            taken |= masks[-1]
        if k == 5:
            masks.append(np.zeros(SIZE, bool))
        boxes = torch.tensor(np.sort(rng.uniform(0, 60, (len(masks), 2, 2)), 1).reshape(-1, 4), dtype=torch.float32)
        labels, weights = torch.tensor(rng.integers(0, 3, len(masks))), torch.tensor(rng.uniform(0.01, 1, len(masks)))
        writer.add(f'ü {k}', f'ü {k}.jpg', SIZE, pseudo_instances(boxes, labels.long(), np.array(masks).reshape(-1, *SIZE), weights))
    return writer.finish([f'ü {k}' for k in range(6)], CLASSES)


@pytest.fixture
def labels(store):
    return formats.choose_labels(store)


def flat(labels):
    return [a for image in labels.images for a in labels.annotations[image['id']]]


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def test_coco_loads_in_pycocotools_and_back_into_the_store_without_loss(labels, images, tmp_path):
    (path,) = formats.write_coco(labels, tmp_path / 'out', images)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    found = PseudoLabelStore.load(path)
    assert len(coco.getAnnIds()) == len(flat(labels)) > 5
    for annotation in flat(labels):
        again = coco.loadAnns([annotation['id']])[0]
        assert np.array_equal(coco.annToMask(again), formats.decode(annotation))
        assert again == annotation
    for image in labels.images:
        expected = [(a['bbox'], a['category_id'] - 1, a['weight']) for a in labels.annotations[image['id']]]
        back = found.instances(image['img_id'])
        xyxy = [[x, y, x + w, y + h] for (x, y, w, h), _, _ in expected]
        assert [i['bbox'] for i in back] == xyxy
        assert [(i['bbox_label'], i['weight']) for i in back] == [e[1:] for e in expected]
        assert (tmp_path / 'out/images' / image['file_name']).is_file()


def test_yolo_polygons_are_the_masks(labels, images, tmp_path):
    formats.write_yolo(labels, tmp_path / 'out', images)
    lowest = 1.0
    for image in labels.images:
        wanted = [a for a in labels.annotations[image['id']] if a['area']]
        lines = (tmp_path / 'out/labels/train' / f'{image["img_id"]}.txt').read_text().splitlines()
        assert [int(line.split()[0]) for line in lines] == [a['category_id'] - 1 for a in wanted]
        for line, annotation in zip(lines, wanted, strict=True):
            corners = np.array(line.split()[1:], float).reshape(-1, 2)
            assert corners.min() >= 0 and corners.max() <= 1 and len(corners) >= 3
            code = coco_mask.merge(coco_mask.frPyObjects([(corners * SIZE[::-1]).flatten().tolist()], *SIZE))
            lowest = min(lowest, iou(coco_mask.decode(code).view(bool), formats.decode(annotation)))
    assert lowest >= 0.97


def test_yolo_names_its_classes_and_pictures(labels, images, tmp_path):
    (path,) = formats.write_yolo(labels, tmp_path / 'out', images, val_share=0.4)
    text = path.read_text(encoding='utf-8')
    assert '0: "cat"\n' in text and '1: "Größe \\"x\\""' in text and 'val: images/val\n' in text
    for split in ('train', 'val'):
        pictures = {p.stem for p in (tmp_path / 'out/images' / split).iterdir()}
        assert pictures == {p.stem for p in (tmp_path / 'out/labels' / split).iterdir()} != set()


def test_yolo_boxes_are_the_boxes(labels, images, tmp_path):
    formats.write_yolo(labels, tmp_path / 'out', images, boxes=True)
    for image in labels.images:
        lines = (tmp_path / 'out/labels/train' / f'{image["img_id"]}.txt').read_text().splitlines()
        for line, annotation in zip(lines, labels.annotations[image['id']], strict=True):
            x, y, w, h = np.array(line.split()[1:], float)
            found = [(x - w / 2) * SIZE[1], (y - h / 2) * SIZE[0], w * SIZE[1], h * SIZE[0]]
            assert np.allclose(found, annotation['bbox'], atol=1e-3)


def test_voc_is_read_back_by_the_devkit_without_loss(labels, images, tmp_path):
    formats.write_voc(labels, tmp_path / 'out', images)
    devkit = VOCDevkit(tmp_path / 'out', CLASSES)
    names = [line for line in (tmp_path / 'out/ImageSets/Main/train.txt').read_text().splitlines()]
    assert names == [image['img_id'] for image in labels.images]
    for image in labels.images:
        wanted = labels.annotations[image['id']]
        objects, masks = devkit.objects(image['img_id']), devkit.instance_masks(image['img_id'])
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in (a['bbox'] for a in wanted)])
        assert np.allclose(objects.bboxes, boxes, atol=1e-4)
        assert objects.labels.tolist() == [a['category_id'] - 1 for a in wanted]
        with_mask = [a for a in wanted if a['area']]
        assert masks.labels.tolist() == [a['category_id'] - 1 for a in with_mask]
        assert np.array_equal(masks.masks, [formats.decode(a) for a in with_mask])


def test_labelme_holds_every_pixel_and_box(labels, images, tmp_path):
    for path, image in zip(formats.write_labelme(labels, tmp_path / 'out', images), labels.images, strict=True):
        content = json.loads(path.read_text(encoding='utf-8'))
        assert (path.parent / content['imagePath']).is_file()
        assert (content['imageHeight'], content['imageWidth']) == SIZE
        for shape, annotation in zip(content['shapes'], labels.annotations[image['id']], strict=True):
            assert CLASSES.index(shape['label']) == annotation['category_id'] - 1
            assert shape['bbox'] == annotation['bbox'] and shape['weight'] == annotation['weight']
            if shape['shape_type'] == 'rectangle':
                assert not annotation['area']
                continue
            (x1, y1), (x2, y2) = shape['points']
            crop = cv2.imdecode(np.frombuffer(base64.b64decode(shape['mask']), np.uint8), cv2.IMREAD_UNCHANGED)
            mask = np.zeros(SIZE, bool)
            mask[y1 : y2 + 1, x1 : x2 + 1] = crop > 0
            assert np.array_equal(mask, formats.decode(annotation))


def test_light_instances_and_those_beyond_the_heaviest_are_left_out(store):
    everything = store.content['annotations']
    limit = float(np.median([a['weight'] for a in everything]))
    heavy = formats.choose_labels(store, min_weight=limit)
    assert {a['id'] for a in flat(heavy)} == {a['id'] for a in everything if a['weight'] >= limit}
    single = formats.choose_labels(store, top_k=1)
    for image in single.images:
        most = max(a['weight'] for a in everything if a['image_id'] == image['id'])
        assert [a['weight'] for a in single.annotations[image['id']]] == [most]
    assert single.left_out['beyond the heaviest'] == len(everything) - len(single.images)


def test_images_without_labels_are_left_out_unless_they_are_wanted(store):
    assert len(formats.choose_labels(store).images) == 4
    assert len(formats.choose_labels(store, keep_empty=True).images) == 6
    with pytest.raises(ValueError, match='No label is left of .* too light'):
        formats.choose_labels(store, min_weight=1.1)


def test_instances_without_mask_can_be_left_out(store):
    assert all(a['area'] for a in flat(formats.choose_labels(store, need_mask=True)))
    assert not all(a['area'] for a in flat(formats.choose_labels(store)))


def test_missing_pictures_are_an_error(labels, tmp_path):
    with pytest.raises(FileNotFoundError, match='4 of 4 pictures'):
        formats.write_voc(labels, tmp_path / 'out', tmp_path)


@pytest.mark.parametrize('name', formats.FORMATS)
def test_an_earlier_export_is_replaced_and_nothing_else(labels, images, tmp_path, name):
    write = getattr(formats, f'write_{name}')
    write(labels, tmp_path / 'out', images)
    formats.remove_export(tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    write(labels, tmp_path / 'out', images)
    (tmp_path / 'out/diary.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='diary.txt'):
        formats.remove_export(tmp_path / 'out')
    assert len(list(images.iterdir())) == 6


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('export_pseudo_labels', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('name', formats.FORMATS)
def test_the_tool_writes_every_format_and_says_what_it_left_out(tool, store, images, tmp_path, capsys, name):
    (tmp_path / 'store.json').write_text(json.dumps(store.content))
    command = [str(tmp_path / 'store.json'), '--format', name, '--images', str(images), '--out', str(tmp_path / 'out'), '--top-k', '2']
    tool.main(command)
    tool.main(command)
    printed = capsys.readouterr().out
    assert '3 classes in 4 images' in printed and '2 images without labels' in printed


def test_the_tool_refuses_to_replace_its_own_pictures(tool, images):
    with pytest.raises(SystemExit):
        tool.main(['s.json', '--format', 'voc', '--images', str(images), '--out', str(images)])
    with pytest.raises(SystemExit):
        tool.main(['s.json', '--format', 'voc', '--out', 'x'])


def test_the_tool_knows_the_formats_of_the_package(tool):
    assert tool.FORMATS == formats.FORMATS

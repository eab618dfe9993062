import json

import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.exports.formats import write_export
from mmlabelpenet.workbench.exports.labels import choose_labels
from mmlabelpenet.workbench.imports.objects import encoded
from mmlabelpenet.workbench.own_data.dataset import make_own_data
from mmlabelpenet.workbench.own_data.importing import STORE, find_kind, import_labels

SIZE = (40, 60)


@pytest.fixture
def data(tmp_path):
    (tmp_path / 'in').mkdir()
    for k in range(8):
        noise = np.random.default_rng(k).integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f'in/p {k}.{"png" if k == 3 else "jpg"}')
    (tmp_path / 'tags.json').write_text(json.dumps({f'p {k}': [('cat', 'dog')[k % 2]] for k in range(8)}))
    return make_own_data(tmp_path / 'set', tmp_path / 'in', tmp_path / 'tags.json', test_share=0.5)[0]


@pytest.fixture
def store(data):
    """Labels as own_data.py export writes them: a square in every image, with a box of its own, and a box alone in every second."""
    images, notes, devkit = [], [], VOCDevkit(data.root, data.classes)
    for number, name in enumerate((name for names in data.splits.values() for name in names), 1):
        images.append(dict(id=number, img_id=name, file_name=devkit.image_path(name).name, height=SIZE[0], width=SIZE[1]))
        mask = np.zeros(SIZE, bool)
        mask[5:15, 5 + number : 20] = True
        for pixels, box in [(mask, [4.5, 4.5, 16.25, 11.0]), (np.zeros(SIZE, bool), [30.0, 2.0, 20.5, 30.0])][: 1 + number % 2]:
            code = encoded(pixels)
            notes.append(dict(id=len(notes) + 1, image_id=number, category_id=1 + number % 2, bbox=box, area=float(pixels.sum()),
                              segmentation=code, iscrowd=0, weight=0.5 + number / 100, stage='segmentation'))  # fmt: skip
    categories = [dict(id=number, name=name) for number, name in enumerate(data.classes, 1)]
    content = dict(info=dict(stage='segmentation'), images=images, annotations=notes, categories=categories)
    (data.root / 'labels.json').write_text(json.dumps(content))
    return PseudoLabelStore(content)


def export(data, store, kind):
    write_export(kind, choose_labels(store), data.root / 'export' / kind, data.root / 'JPEGImages')
    return data.root / 'export' / kind


@pytest.mark.parametrize('kind', ['labelme', 'coco', 'voc'])
def test_labels_come_back_as_they_were_exported(data, store, kind):
    found = import_labels(data.root, export(data, store, kind))
    assert (found.objects, found.as_exported, found.missing) == (12, 12, 0)
    assert found.images == {split: len(names) for split, names in data.splits.items()}
    back = PseudoLabelStore.load(found.store)
    for name in (name for names in data.splits.values() for name in names):
        wanted = sorted(store.instances(name), key=lambda item: -item['weight'])
        assert back.instances(name) == wanted


def test_what_was_corrected_is_scored_and_learnt_and_the_rest_stays(data, store):
    folder = export(data, store, 'labelme')
    for path in folder.glob('*.json'):
        if path.stem != 'p_0':
            path.unlink()
    content = json.loads((folder / 'p_0.json').read_text())
    content['shapes'] = [dict(content['shapes'][0], label='dog', shape_type='polygon', points=[[10, 10], [19, 10], [19, 29], [10, 29]])]
    (folder / 'p_0.json').write_text(json.dumps(content))
    found = import_labels(data.root, folder)
    assert (found.objects, found.as_exported, sum(found.images.values())) == (1, 0, 1)
    devkit, back = VOCDevkit(data.root, data.classes), PseudoLabelStore.load(data.root / STORE)
    (item,) = back.instances('p_0')
    assert item['bbox'] == [10, 10, 20, 30] and item['weight'] == 1 and data.classes[item['bbox_label']] == 'dog'
    assert back.instances('p_1') == store.instances('p_1')
    assert devkit.objects('p_0').bboxes.tolist() == [[10, 10, 20, 30]]
    assert devkit.instance_masks('p_0').masks.sum() == 200 and devkit.class_mask('p_0').max() == 255
    assert not (data.root / 'Annotations/p_1.xml').exists()


def test_an_image_replaced_after_the_import_is_noticed(data, store):
    import_labels(data.root, export(data, store, 'coco'))
    corrected, path = PseudoLabelStore.load(data.root / STORE), VOCDevkit(data.root, data.classes).image_path('p_0')
    corrected.check_image('p_0', path)
    Image.new('RGB', SIZE[::-1]).save(path)
    with pytest.raises(ValueError, match='has changed since its pseudo labels were generated'):
        corrected.check_image('p_0', path)


def test_labels_drawn_on_the_originals_are_found_by_name(data, tmp_path):
    (tmp_path / 'drawn').mkdir()
    shape = dict(label='cat', points=[[1, 1], [9, 1], [9, 9]], shape_type='polygon')
    content = dict(shapes=[shape], imagePath='..\\in\\p 3.png', imageHeight=SIZE[0], imageWidth=SIZE[1], imageData=None)
    (tmp_path / 'drawn/p 3.json').write_text(json.dumps(content))
    found = import_labels(data.root, tmp_path / 'drawn')
    assert sum(found.images.values()) == 1 and found.store is None and found.missing > 0
    assert (data.root / 'Annotations/p_3.xml').is_file() and not (data.root / STORE).exists()


def test_a_second_import_replaces_the_first_and_nothing_of_others(data, store):
    folder = export(data, store, 'labelme')
    import_labels(data.root, folder)
    (folder / 'p_0.json').unlink()
    import_labels(data.root, folder)
    assert not (data.root / 'Annotations/p_0.xml').exists() and (data.root / 'tags.csv').is_file()
    (data.root / 'Annotations/p_1.xml').write_text('mine')
    with pytest.raises(FileExistsError, match='has been changed since it was written'):
        import_labels(data.root, folder)
    assert (data.root / 'Annotations/p_1.xml').read_text() == 'mine'


def test_an_image_with_boxes_alone_is_not_scored_by_masks_and_one_without_objects_is(data, tmp_path):
    (tmp_path / 'drawn').mkdir()
    box = dict(label='cat', points=[[1, 1], [9, 9]], shape_type='rectangle')
    for name, shapes in (('p_0', [box]), ('p_1', [])):
        content = dict(shapes=shapes, imagePath=f'{name}.jpg', imageHeight=SIZE[0], imageWidth=SIZE[1])
        (tmp_path / f'drawn/{name}.json').write_text(json.dumps(content))
    import_labels(data.root, tmp_path / 'drawn')
    devkit = VOCDevkit(data.root, data.classes)
    assert devkit.instance_masks('p_0') is None and len(devkit.objects('p_0').labels) == 1
    assert len(devkit.instance_masks('p_1').labels) == 0 and len(devkit.objects('p_1').labels) == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(imagePath='other.jpg', image='other.jpg'), "1 of 8 images is not in the data set .*, the first: 'other.jpg'"),
        (dict(imagePath='p_1.jpg', image='p_1.jpg'), '1 image has labels in two files, the first: p_1|.p_1.'),
        (dict(imageHeight=41), 'is for 41 x 60 pixels .h x w., but the image in the data set has 40 x 60'),
        (
            dict(shapes=[dict(label='dgo', points=[[1, 1], [2, 2]], shape_type='rectangle')]),
            "'dgo' in .* is not a class. Did you",
        ),
    ],
)
def test_labels_that_do_not_fit_the_data_set_are_refused(data, store, change, message):
    path = export(data, store, 'labelme') / 'p_0.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        import_labels(data.root, path.parent)
    assert not (data.root / STORE).exists()


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='Expected LabelMe, COCO, VOC or YOLO labels'):
        find_kind(tmp_path)

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.exports.labels import decode, has_mask
from mmlabelpenet.workbench.exports.voc import write_voc


@pytest.fixture
def devkit(labels, images, tmp_path):
    write_voc(labels, tmp_path / 'out', images)
    return VOCDevkit(tmp_path / 'out', labels.classes)


def stems(devkit, folder='Main'):
    return (devkit.data_root / f'ImageSets/{folder}/train.txt').read_text(encoding='utf-8').splitlines()


def test_our_own_reader_takes_every_image_and_object_back(devkit, labels):
    names = devkit.image_ids('train')
    assert names == stems(devkit) and len(names) == 16
    for name, image in zip(names, labels.images, strict=True):
        wanted = labels.annotations[image['id']]
        objects = devkit.objects(name)
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in (a['bbox'] for a in wanted)])
        assert np.abs(objects.bboxes - boxes).max() <= 0.5
        assert objects.labels.tolist() == [a['category_id'] - 1 for a in wanted]
        assert devkit.image_size(name) == (image['height'], image['width'])
    assert devkit.tags('train', 'lists') == devkit.tags('train', 'xml')


def test_every_image_is_a_jpeg_beside_which_all_files_stand(devkit):
    for name in stems(devkit):
        with Image.open(devkit.data_root / f'JPEGImages/{name}.jpg') as opened:
            assert opened.format == 'JPEG'
        root = ElementTree.parse(devkit.data_root / f'Annotations/{name}.xml').getroot()
        assert (devkit.data_root / 'JPEGImages' / root.findtext('filename')).is_file()
        for corner in root.iter('bndbox'):
            assert all(side.text.isdigit() and int(side.text) >= 1 for side in corner)
    masked = stems(devkit, 'Segmentation')
    assert set(stems(devkit)) - set(masked) == {'boxes'}
    assert {f'{name}.png' for name in masked} == {
        path.relative_to(devkit.data_root / 'SegmentationClass').as_posix()
        for path in (devkit.data_root / 'SegmentationClass').rglob('*.png')
    }


def test_label_images_have_palette_border_and_every_visible_pixel(devkit, labels):
    for name, image in zip(stems(devkit), labels.images, strict=True):
        wanted = labels.annotations[image['id']]
        if not any(map(has_mask, wanted)):
            continue
        with Image.open(devkit.data_root / f'SegmentationObject/{name}.png') as opened:
            assert opened.mode == 'P' and opened.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
            values = np.asarray(opened)
        kinds = np.asarray(Image.open(devkit.data_root / f'SegmentationClass/{name}.png'))
        taken = np.zeros(values.shape, bool)
        for number, annotation in enumerate(wanted, 1):
            if has_mask(annotation):
                mask = decode(annotation) & ~taken
                assert np.array_equal(values == number, mask)
                assert (kinds[mask] == annotation['category_id']).all()
                taken |= mask
        assert not taken[values == 255].any() and np.array_equal(values == 255, kinds == 255)
        assert taken.all() or (values == 255).any() or image['file_name'] == 'border.jpg'


def test_the_label_map_names_every_value(devkit, labels):
    lines = (devkit.data_root / 'labelmap.txt').read_text(encoding='utf-8').splitlines()
    assert lines[1] == 'background:0,0,0::' and [line.split(':')[0] for line in lines[2:]] == [*labels.classes, 'ignored']


def test_more_classes_than_a_label_image_holds_are_refused(labels, images, tmp_path):
    with pytest.raises(ValueError, match='support 254 classes, but these labels have 300. Export COCO or LabelMe'):
        write_voc(replace(labels, classes=tuple(f'class {k}' for k in range(300))), tmp_path, images)


@pytest.mark.parametrize(
    'name', ['a/b', 'a:b', 'a\nb', '#a', '..', 'background', '', ' cat', 'cat ', 'a\tb', 'a\0b', 'a\u2028b', 201 * 'k']
)
def test_a_class_whose_name_a_devkit_cannot_hold_is_refused(labels, images, tmp_path, name):
    with pytest.raises(ValueError, match='cannot be used in a VOC devkit'):
        write_voc(replace(labels, classes=(name, *labels.classes[1:])), tmp_path, images)
    assert not list(tmp_path.iterdir())

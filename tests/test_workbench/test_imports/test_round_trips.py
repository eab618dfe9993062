import difficult
import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.workbench.exports.formats import write_export
from mmlabelpenet.workbench.exports.images import export_names
from mmlabelpenet.workbench.exports.labels import choose_labels
from mmlabelpenet.workbench.own_data.importing import READERS, find_kind

NAMES = {'same_png.png': 'same.png'}  # YOLO has no place for the name that was before


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('coco', dict(val_share=0.3)),
        ('coco', dict(polygons=True)),
        ('voc', dict(val_share=0.3)),
        ('labelme', {}),
        ('labelme', dict(polygons=True)),
    ],
)
def test_what_is_exported_comes_back_with_the_same_boxes_masks_and_weights(labels, images, wanted, tmp_path, kind, options):
    write_export(kind, labels, tmp_path, images, **options)
    assert find_kind(tmp_path) == kind
    read = READERS[kind](tmp_path)
    assert {image.name for image in read} == set(wanted)
    for image in read:
        found = sorted(image.objects, key=lambda item: -item.weight)
        assert [(item.name, item.bbox, item.segmentation, item.weight) for item in found] == wanted[image.name], image.name
        assert all(item.as_exported for item in found)


def test_yolo_boxes_come_back_to_a_thousandth_of_a_pixel(labels, images, wanted, tmp_path):
    write_export('yolo', labels, tmp_path, images, boxes=True)
    flat = {name.replace('/', '_'): objects for name, objects in wanted.items()}
    for image in READERS['yolo'](tmp_path):
        for item, (name, box, _, _) in zip(image.objects, flat[NAMES.get(image.name, image.name)], strict=True):
            assert item.name == name and item.bbox == pytest.approx(box, abs=1e-3)


def test_yolo_masks_come_back_nearly(labels, images, wanted, tmp_path):
    from pycocotools import mask as coco_mask

    write_export('yolo', labels, tmp_path, images)
    flat, overlaps = {name.replace('/', '_'): objects for name, objects in wanted.items()}, []
    for image in READERS['yolo'](tmp_path):
        masked = [code for _, _, code, _ in flat[NAMES.get(image.name, image.name)] if coco_mask.area(code)]
        for item, code in zip(image.objects, masked, strict=True):
            overlaps.append(coco_mask.iou([item.segmentation], [code], [0]).item())
    assert len(overlaps) == 24 and sum(overlaps) / 24 >= 0.97


SIZE = (24, 32)
TRAPS = {  # names of images and of classes that files and formats may take for something else
    'equal but for suffix and case': (['a.jpg', 'a.png', 'a_png.jpg', 'A.jpg', 'a_jpg.png'], ['x', 'y']),
    'hidden': (['.a.jpg', '.b/c.jpg', '_.a.jpg'], ['x', 'y']),
    'names of files of the formats': (['train.jpg', 'val.jpg', 'data.jpg', 'labels/images/train/a.jpg', 'Annotations/a.jpg'], ['x', 'y']),
    'options and comments': (['-a.jpg', '--help.jpg', '#c.jpg', '%d.jpg', "it's.jpg", '"q".jpg'], ['x #', '- y', '"z"', "it's"]),
    'numbers and constants': (['1.jpg', '01.jpg', '1e5.jpg', 'nan.jpg'], ['1', '01', '1e5', 'nan', 'yes', 'null', '~', '0x10']),
    'forms of a letter': (['\u00e9.jpg', 'e\u0301.jpg'], ['\u00e9', 'e\u0301', 'Cat', 'cat', 'CAT']),
    'marks': (['a&b.jpg', '<a>.jpg', 'a;b.jpg'], ['<a>', '&amp;', 'a, b', 'a;b', 'a|b', 'key = v']),
    'line breaks of YAML': (['a.jpg', 'b.jpg'], ['\x85', ' ', 'a\u2028b', '# x']),
}


@pytest.mark.parametrize('trap', TRAPS)
@pytest.mark.parametrize('kind', READERS)
def test_no_name_is_lost_or_taken_for_another(tmp_path, kind, trap):
    names, classes = TRAPS[trap]
    images, notes = [], []
    for number, name in enumerate(names, 1):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / 'in' / name)
        images.append(dict(id=number, img_id=name, file_name=name, height=SIZE[0], width=SIZE[1]))
        for label in range(number - 1, len(classes), len(names)):
            mask = difficult.pixels(SIZE, (number, 2 * label, number + 10, 2 * label + 9))
            notes.append(difficult.annotation(len(notes) + 1, number, label, SIZE, mask, None, 0.5))
    categories = [dict(id=label, name=name) for label, name in enumerate(classes, 1)]
    content = dict(info=dict(stage='x'), images=images, annotations=notes, categories=categories)
    labels = choose_labels(PseudoLabelStore(content), keep_empty=True)
    if kind == 'voc' and trap == 'line breaks of YAML':
        with pytest.raises(ValueError, match='cannot be used in a VOC devkit'):
            write_export(kind, labels, tmp_path / 'out', tmp_path / 'in')
        return
    write_export(kind, labels, tmp_path / 'out', tmp_path / 'in')
    assert find_kind(tmp_path / 'out') == kind
    found = {image.name: sorted((item.name, item.bbox) for item in image.objects) for image in READERS[kind](tmp_path / 'out')}
    expected = {name: [] for name in names}
    for note in notes:
        expected[names[note['image_id'] - 1]].append((classes[note['category_id'] - 1], tuple(note['bbox'])))
    if kind == 'yolo':  # which knows files alone
        written = {
            name: export.replace('/', '_') for name, export in zip(names, export_names(images, None, flat=True).values(), strict=True)
        }
        expected = {written[name]: objects for name, objects in expected.items()}
    assert found == {name: sorted(objects) for name, objects in expected.items()}

import pytest

from mmlabelpenet.workbench.exports.formats import write_export
from mmlabelpenet.workbench.own_data.importing import READERS, find_kind

NAMES = {'same_png.png': 'same.png'}  # COCO has no place for the name that was before


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
    assert {NAMES.get(image.name, image.name) for image in read} == set(wanted)
    for image in read:
        name = NAMES.get(image.name, image.name)
        found = sorted(image.objects, key=lambda item: -item.weight)
        assert [(item.name, item.bbox, item.segmentation, item.weight) for item in found] == wanted[name], name
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

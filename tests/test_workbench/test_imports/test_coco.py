import json

import pytest
from pycocotools import mask as coco_mask

from mmlabelpenet.workbench.imports.coco import read_coco


def write(folder, *notes, **more):
    content = dict(
        images=[dict(id=7, file_name='x/a.jpg', height=20, width=30)], annotations=list(notes), categories=[dict(id=3, name='cat')]
    )
    (folder / 'any.json').write_text(json.dumps(content | more))
    return folder / 'any.json'


def note(**more):
    return dict(id=1, image_id=7, category_id=3, bbox=[2, 3, 4, 5]) | more


def test_masks_come_as_polygons_run_lengths_or_not_at_all(tmp_path):
    square = [[2, 3, 6, 3, 6, 8, 2, 8]]
    runs = [2 * 20 + 3, *([5, 15] * 3), 5, 24 * 20 + 12]
    path = write(
        tmp_path, note(segmentation=square), note(segmentation=dict(size=[20, 30], counts=runs)), note(), note(segmentation=[]),
        note(bbox=None, segmentation=square), note(segmentation=square, iscrowd=1),
    )  # fmt: skip
    (image,) = read_coco(path)
    assert (image.name, image.size) == ('x/a.jpg', (20, 30)) and len(image.objects) == 5
    assert [int(coco_mask.area(item.segmentation)) for item in image.objects] == [20, 20, 0, 0, 20]
    assert {item.bbox for item in image.objects} == {(2.0, 3.0, 4.0, 5.0)} and {item.weight for item in image.objects} == {1.0}


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (note(image_id=8), 'Annotation 1 of .* is of image 8, which the file does not list'),
        (note(category_id=4), 'is of category 4'),
        (note(bbox=[1, 2, 3]), 'is not a COCO annotation file'),
        (note(bbox=[0, 0, 0, 5]), 'has no area'),
        (note(segmentation=[[1, 2, 3]]), 'has a polygon that is not a list'),
        (note(segmentation=[[1e9] * 6]), 'has a polygon that is not a list'),
        (note(segmentation=[['x'] * 6]), 'has a polygon that is not a list'),
        (note(segmentation=dict(size=[100_000, 100_000], counts=[10**10])), 'its mask has the size'),
        (note(segmentation=dict(size=[20, 30], counts='~~~')), 'its counts'),
        (note(bbox=None), 'has neither a box nor a mask'),
    ],
)
def test_malformed_annotations_are_one_line_that_names_them(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message) as error:
        read_coco(write(tmp_path, changed))
    assert '\n' not in str(error.value)


def test_a_folder_without_labels_is_told(tmp_path):
    (tmp_path / 'annotations').mkdir()
    with pytest.raises(FileNotFoundError, match='holds neither train.json nor annotations'):
        read_coco(tmp_path)

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
        (note(image_id=8), r'annotations\[0\] of .* has the unknown image_id 8'),
        (note(category_id=4), 'unknown category_id 4'),
        (note(bbox=[1, 2, 3]), r'is not a COCO file .*array` of length 4 - at `\$.annotations.0..bbox'),
        (note(bbox=[0, 0, 0, 5]), 'has no area'),
        (note(segmentation=[[1, 2, 3]]), 'has a polygon that is not a list'),
        (note(segmentation=[[1e9] * 6]), 'has a polygon that is not a list'),
        (note(segmentation=[['x'] * 6]), 'has a polygon that is not a list'),
        (note(segmentation=dict(size=[100_000, 100_000], counts=[10**10])), 'its mask has the size'),
        (note(segmentation=dict(size=[20, 30], counts='~~~')), 'its counts'),
        (note(segmentation=[[31, 2, 35, 2, 35, 8], [2, -5, 6, -5, 6, -1]]), 'a mask outside its image of 20 x 30 pixels'),
        (note(weight=5), 'weight'),
        (note(weight=-0.5), 'weight'),
        (note(bbox=None), 'has neither a box nor a mask'),
    ],
)
def test_malformed_annotations_are_one_line_that_names_them(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message) as error:
        read_coco(write(tmp_path, changed))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', [str, float])
def test_ids_are_numbers_or_text(tmp_path, kind):
    image, category = dict(id=kind(7), file_name='a.jpg', height=20, width=30), dict(id=kind(3), name='cat')
    path = write(tmp_path, note(image_id=kind(7), category_id=kind(3), iscrowd=False), images=[image], categories=[category])
    assert [item.name for item in read_coco(path)[0].objects] == ['cat']


@pytest.mark.parametrize('entry', ['images', 'categories'])
def test_two_entries_of_one_id_are_refused(tmp_path, entry):
    both = dict(
        images=[dict(id=7, file_name=name, height=20, width=30) for name in ('a.jpg', 'b.jpg')],
        categories=[dict(id=3, name=name) for name in ('cat', 'dog')],
    )
    with pytest.raises(ValueError, match=f'duplicate ids among its {entry}'):
        read_coco(write(tmp_path, note(), **{entry: both[entry]}))


def test_a_folder_without_labels_is_told(tmp_path):
    (tmp_path / 'annotations').mkdir()
    with pytest.raises(FileNotFoundError, match='contains neither train.json nor annotations'):
        read_coco(tmp_path)

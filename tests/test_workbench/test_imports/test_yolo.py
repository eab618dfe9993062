import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmlabelpenet.workbench.imports.yolo import read_yolo


def write(folder, *lines, names='[cat, dog]'):
    for name in ('images/train', 'labels/train'):
        (folder / name).mkdir(parents=True)
    Image.new('RGB', (40, 20)).save(folder / 'images/train/a.jpg')
    (folder / 'labels/train/a.txt').write_text('\n'.join(lines))
    (folder / 'data.yaml').write_text(f'names: {names}\n')
    return folder


def test_boxes_and_polygons_are_read(tmp_path):
    (image,) = read_yolo(write(tmp_path, '1 0.5 0.5 0.25 0.5', '', '0 0.1 0.1 0.3 0.1 0.3 0.5'))
    box, polygon = image.objects
    assert (image.name, box.name, box.bbox) == ('a.jpg', 'dog', (15.0, 5.0, 10.0, 10.0)) and not coco_mask.area(box.segmentation)
    assert polygon.name == 'cat' and polygon.bbox == (4.0, 2.0, 9.0, 9.0)


def test_splits_may_stand_above_images(tmp_path):
    write(tmp_path, '1 0.5 0.5 0.25 0.5')
    (tmp_path / 'train').mkdir()
    for name in ('images', 'labels'):
        (tmp_path / name / 'train').rename(tmp_path / 'train' / name)
        (tmp_path / name).rmdir()
    (image,) = read_yolo(tmp_path)
    assert image.name == 'a.jpg' and [item.name for item in image.objects] == ['dog']


@pytest.mark.parametrize('line', ['2 .5 .5 .1 .1', '0 .5 .5 .1', 'cat .5 .5 .1 .1', '0 nan .5 .1 .1', '0 .5 .5 .1 .1 .2', '0 90 0 .1 .1'])
def test_a_malformed_line_is_named(tmp_path, line):
    with pytest.raises(ValueError, match='Line 1 of .*a.txt. should be'):
        read_yolo(write(tmp_path, line))


@pytest.mark.parametrize('names', ['3', '{a: b}', '[]', '[[1]]', '"', '!!python/object/apply:os.getcwd []'])
def test_a_data_file_without_names_is_refused(tmp_path, names):
    with pytest.raises(ValueError, match='data.yaml'):
        read_yolo(write(tmp_path, names=names))

import cv2
import numpy as np
import pytest
import yaml

from mmlabelpenet.workbench.exports.labels import decode, has_mask
from mmlabelpenet.workbench.exports.yolo import write_yolo


def lines(out, image, split='train'):
    stem = {'same.png': 'same_png'}.get(image['file_name'], image['file_name'].rsplit('.', 1)[0].replace('/', '_'))
    return (out / 'labels' / split / f'{stem}.txt').read_text().splitlines()


@pytest.mark.parametrize('whole', [np.trunc, np.round], ids=['truncated', 'rounded'])
def test_polygons_fill_the_masks_in_programs_that_truncate_and_in_those_that_round(labels, images, tmp_path, whole):
    write_yolo(labels, tmp_path, images)
    overlaps = []
    for image in labels.images:
        wanted = [a for a in labels.annotations[image['id']] if has_mask(a)]
        for line, annotation in zip(lines(tmp_path, image), wanted, strict=True):
            values = np.array(line.split()[1:], np.float32).reshape(-1, 2)
            assert int(line.split()[0]) == annotation['category_id'] - 1
            assert values.min() >= 0 and values.max() <= 1 and len(values) >= 3 and (np.ptp(values, 0) > 0).all()
            size = (image['height'], image['width'])
            corners = whole(values * np.array(size[::-1], np.float32)).astype(np.int32)
            found = cv2.fillPoly(np.zeros(size, np.uint8), [corners], 1) > 0
            mask = decode(annotation)
            overlaps.append((found & mask).sum() / (found | mask).sum())
    assert len(overlaps) == 24 and min(overlaps) > 0.9 and np.mean(overlaps) >= 0.99


def test_the_folder_can_be_moved_and_names_its_classes(labels, images, tmp_path):
    (path,) = write_yolo(labels, tmp_path, images, val_share=0.4)
    content = yaml.safe_load(path.read_text(encoding='utf-8'))
    assert content == dict(train='images/train', val='images/val', names=dict(enumerate(labels.classes)))
    assert str(tmp_path) not in path.read_text()
    for split in ('train', 'val'):
        found = {p.stem for p in (tmp_path / 'images' / split).iterdir()}
        assert found == {p.stem for p in (tmp_path / 'labels' / split).iterdir()} != set()


def test_boxes_are_the_boxes(labels, images, tmp_path):
    write_yolo(labels, tmp_path, images, boxes=True)
    for image in labels.images:
        for line, annotation in zip(lines(tmp_path, image), labels.annotations[image['id']], strict=True):
            x, y, w, h = np.array(line.split()[1:], float)
            found = [(x - w / 2) * image['width'], (y - h / 2) * image['height'], w * image['width'], h * image['height']]
            assert np.allclose(found, annotation['bbox'], atol=1e-3)

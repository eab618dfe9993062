"""Joining several years of VOC into one devkit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.join_voc import join_devkits

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/join_voc.py'


def make_year(root, lists, masks=False):
    for folder in ('ImageSets/Main', 'JPEGImages', 'Annotations', 'SegmentationClass', 'SegmentationObject'):
        (root / folder).mkdir(parents=True)
    for split, names in lists.items():
        (root / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names))
        for number, name in enumerate(VOC_CLASSES):
            lines = [f'{image_id} {1 if (number + len(image_id)) % 2 else -1:2d}' for image_id in names]
            (root / f'ImageSets/Main/{name}_{split}.txt').write_text('\n'.join(lines))
        for image_id in names:
            Image.fromarray(np.full((4, 6, 3), sum(map(ord, image_id)) % 255, np.uint8)).save(root / f'JPEGImages/{image_id}.jpg')
            (root / f'Annotations/{image_id}.xml').write_text('<annotation></annotation>')
            if masks:
                for folder in ('SegmentationClass', 'SegmentationObject'):
                    Image.new('P', (6, 4), 1).save(root / f'{folder}/{image_id}.png')
    return root


@pytest.fixture
def years(tmp_path):
    first = make_year(tmp_path / 'VOC2007', dict(trainval=['000001', '000002'], test=['000003']), masks=True)
    return [first, make_year(tmp_path / 'VOC2012', dict(trainval=['2008_1', '2008_22'], test=['2008_3']))]


def test_lists_tags_and_files_are_those_of_both_years(years, tmp_path):
    assert join_devkits(years, tmp_path / 'VOC0712') == dict(trainval=4, test=1)
    devkit, parts = VOCDevkit(tmp_path / 'VOC0712', VOC_CLASSES), [VOCDevkit(year, VOC_CLASSES) for year in years]
    assert devkit.image_ids('trainval') == ['000001', '000002', '2008_1', '2008_22'] and devkit.image_ids('test') == ['000003']
    assert devkit.tags('trainval') == parts[0].tags('trainval') | parts[1].tags('trainval')
    for part in parts:
        for image_id in part.image_ids('trainval'):
            assert devkit.image_path(image_id).read_bytes() == part.image_path(image_id).read_bytes()
            assert (devkit.instance_masks(image_id) is None) == (part.instance_masks(image_id) is None)
    assert len(list((tmp_path / 'VOC0712/JPEGImages').iterdir())) == 5


def test_an_image_of_both_years_is_refused_and_leaves_nothing(years, tmp_path):
    again = make_year(tmp_path / 'again', dict(trainval=['000003']))
    with pytest.raises(ValueError, match="'000003' is in two of the lists"):
        join_devkits([years[0], again], tmp_path / 'out')
    (years[1] / 'JPEGImages/2008_22.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='2008_22'):
        join_devkits(years, tmp_path / 'out')
    assert not [path for path in tmp_path.iterdir() if 'out' in path.name]


def test_the_command_tells_what_it_made_and_refuses_to_replace_it(years, tmp_path):
    command = [sys.executable, str(TOOL), *map(str, years), str(tmp_path / 'VOC0712')]
    assert '4 images in trainval, 1 image in test' in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode and 'already exists' in again.stderr


def test_lists_with_byte_order_marks_and_images_in_subfolders_are_joined(years, tmp_path):
    other = make_year(tmp_path / 'other', dict(trainval=['x'], test=['y']))
    for folder, end in (('JPEGImages', 'jpg'), ('Annotations', 'xml')):
        (other / folder / 'day').mkdir()
        (other / folder / f'x.{end}').rename(other / folder / f'day/x.{end}')
    for path in (other / 'ImageSets/Main').glob('*trainval.txt'):
        path.write_text('\ufeff' + path.read_text().replace('x', 'day/x') + '\r\n')
    join_devkits([years[0], other], tmp_path / 'joined')
    joined = VOCDevkit(tmp_path / 'joined', VOC_CLASSES)
    assert joined.image_ids('trainval') == ['000001', '000002', 'day/x']
    assert joined.tags('trainval')['day/x'] == VOCDevkit(other, VOC_CLASSES).tags('trainval')['day/x']
    assert joined.image_path('day/x').is_file() and joined.is_annotated('day/x')

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.supervision.opened import files_opened


def read_builtin(path):
    with open(path, 'rb') as file:
        return file.read()


def read_low(path):
    os.close(os.open(path, os.O_RDONLY))


READERS = [
    read_builtin,
    read_low,
    lambda path: path.read_bytes(),
    lambda path: np.asarray(Image.open(path)),
    lambda path: cv2.imread(str(path)),
]


@pytest.mark.parametrize('reader', READERS)
def test_a_file_is_seen_whoever_opens_it(tmp_path, reader):
    path = tmp_path / 'a.png'
    Image.new('L', (2, 2)).save(path)
    with files_opened() as opened:
        reader(path)
    assert set(opened) == {str(path)}


def test_a_file_that_is_only_named_or_written_is_not_seen(tmp_path):
    path = tmp_path / 'a.txt'
    with files_opened() as opened:
        path.write_text('a')
        path.exists()
        os.fspath(path)
    assert opened == {}


def test_nothing_is_seen_before_and_after_the_block(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('a')
    with files_opened() as opened:
        pass
    path.read_text()
    assert opened == {}
    assert cv2.imread.__module__ != files_opened.__module__


def test_the_way_names_the_functions_of_the_package_innermost_first(toy_root):
    devkit = VOCDevkit(toy_root, ('lolly', 'cone', 'tree', 'kite'))
    image_id = devkit.image_ids('train')[0]
    with files_opened() as opened:
        devkit.objects(image_id)
    ((path, ways),) = opened.items()
    assert path.endswith(f'Annotations/{image_id}.xml')
    assert ways == {('formats.tag_files._bounded_tree', 'formats.tag_files.parse_xml', 'evaluation.voc._objects', 'evaluation.voc.objects')}


def test_relative_paths_are_made_absolute_and_two_blocks_see_the_same(tmp_path):
    (tmp_path / 'a.txt').write_text('a')
    code = """
import json
from mmlabelpenet.workbench.supervision.opened import files_opened
with files_opened() as outer:
    with files_opened() as inner:
        open('a.txt').close()
    open('./a.txt').close()
print(json.dumps([sorted(outer), sorted(inner)]))
"""
    found = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == [[str(tmp_path / 'a.txt')]] * 2

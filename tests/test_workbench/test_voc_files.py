"""Image lists of a devkit, and copies of files."""

import os

import pytest

from mmlabelpenet.workbench.voc_files import copy_file, write_lists


def test_each_class_has_a_list_of_its_own(tmp_path):
    write_lists(tmp_path, 'train', {'a': {'cat'}, 'b': {'dog'}}, ['cat', 'dog'], None)
    lists = {path.stem: path.read_text().split() for path in (tmp_path / 'ImageSets/Main').iterdir()}
    assert lists == dict(train=['a', 'b'], cat_train=['a', '1', 'b', '-1'], dog_train=['a', '-1', 'b', '1'])


def test_a_copy_is_a_file_of_its_own(tmp_path, monkeypatch):
    (tmp_path / 'a').write_bytes(bytes(range(256)) * 5000)
    copy_file(tmp_path / 'a', tmp_path / 'b')
    monkeypatch.delattr(os, 'copy_file_range', raising=False)
    copy_file(tmp_path / 'a', tmp_path / 'c')
    for name in 'bc':
        assert (tmp_path / name).read_bytes() == (tmp_path / 'a').read_bytes()
        (tmp_path / name).write_bytes(b'changed')
    assert (tmp_path / 'a').stat().st_size == 256 * 5000 and (tmp_path / 'a').stat().st_nlink == 1
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / 'a', tmp_path / 'b')

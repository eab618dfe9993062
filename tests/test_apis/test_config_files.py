"""The files of a config, and the location of keys in them."""

import ast

import pytest

from mmlabelpenet.apis.config import load_config
from mmlabelpenet.apis.config_files import config_files, line_of, names_read, nearest_file, place_of_key, place_of_text


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files by name and work in their folder."""
    monkeypatch.chdir(tmp_path)

    def run(**texts):
        paths = {name: tmp_path / f'{name}.py' for name in texts}
        for name, text in texts.items():
            paths[name].write_text(text)
        return paths

    return run


def test_what_overrides_comes_before_what_is_overridden(write):
    paths = write(leaf="_base_ = ['one.py', 'two.py']", one="_base_ = 'root.py'", two='b = 1', root='c = 1')
    assert [path.stem for path in config_files(paths['leaf'])] == ['leaf', 'two', 'one', 'root']


def test_bases_of_installed_packages_are_found_with_their_own(write):
    paths = write(leaf="_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'")
    names = [path.name for path in config_files(paths['leaf'])]
    assert names[:2] == ['leaf.py', 'mask-rcnn_r50_fpn_1x_coco.py'] and 'mask-rcnn_r50_fpn.py' in names


@pytest.mark.parametrize(
    ('base', 'guess'),
    [
        ('./rooot.py', 'root.py'),
        ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_cocoo.py', 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'),
    ],
)
def test_a_missing_base_is_named_with_file_line_and_the_nearest_one(write, base, guess):
    paths = write(leaf="_base_ = 'middle.py'", middle=f'# a comment\n_base_ = {base!r}', root='c = 1')
    with pytest.raises(FileNotFoundError) as raised:
        config_files(paths['leaf'])
    assert str(raised.value) == f'middle.py:2: _base_: {base!r} does not exist. Did you mean {guess!r}?'


def test_a_base_of_a_package_that_is_not_there_and_one_like_nothing_are_named(write):
    for base in ('nopackage::a.py', '/nowhere/at/all/x.py', './qqqqqqqqqqqqqqqq.py'):
        paths = write(leaf=f'_base_ = {base!r}')
        with pytest.raises(FileNotFoundError, match='leaf.py:1: _base_: .* does not exist.$'):
            config_files(paths['leaf'])


@pytest.mark.parametrize(
    ('text', 'error'),
    [
        ('a = dict(b=1,\n', r"leaf.py:1: '\(' was never closed: 'a = dict\(b=1,'"),
        ("_base_ = ['leaf.py']", r'leaf.py: _base_: the config is among its own bases: leaf.py -> leaf.py'),
        ('_base_ = 5', r'leaf.py:1: _base_: expected file names, got \[5\]'),
        ('_base_ = unknown', r"leaf.py:1: _base_: name 'unknown' is not defined"),
    ],
)
def test_what_is_no_config_is_named_with_its_line(write, text, error):
    write(leaf=text)
    with pytest.raises(ValueError, match=error):
        config_files('leaf.py')


@pytest.mark.parametrize(
    ('name', 'content', 'error'),
    [
        ('a.txt', b'x = 1', r'a.txt is not a config: their names end in .py, .json'),
        ('a.py', b'# na\xefve\nx = 1', "Line 1 of '.*a.py' is not UTF-8 text"),
        ('a.py', b'x = 1\n\0', "Line 2 of '.*a.py' holds a NUL"),
        ('a.yaml', b'a: !!python/object/apply:os.mkdir [hacked]', 'a.yaml is not plain YAML: could not determine a constructor'),
        ('a.yml', b'a: [', 'a.yml is not plain YAML: while parsing'),
    ],
)
def test_what_is_not_a_readable_config_is_named_and_not_run(write, tmp_path, name, content, error):
    write()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=error):
        load_config(tmp_path / name)
    assert not (tmp_path / 'hacked').exists()


def test_a_folder_is_not_a_config(tmp_path):
    with pytest.raises(ValueError, match='is a folder, not a config'):
        load_config(tmp_path)


def test_plain_yaml_is_a_config(write, tmp_path):
    write()
    (tmp_path / 'a.yaml').write_text('a: 1\nb: {c: [2]}')
    assert load_config(tmp_path / 'a.yaml').b.c == [2]


def test_of_several_dicts_with_a_key_the_most_similar_one_is_meant():
    tree = ast.parse('a = dict(x=1, y=2)\nb = dict(x=1,\n  z=3)\nx = 4')
    assert line_of(tree, 'x', ['x', 'y']) == 1 and line_of(tree, 'x', ['x', 'z']) == 2 and line_of(tree, 'x') == 4


def test_places_are_those_of_the_file_that_overrides(write):
    paths = write(leaf="_base_ = 'root.py'\na = dict(b='B')", root="a = dict(b='A', c='C')\n")
    files = config_files(paths['leaf'])
    assert place_of_key(files, 'b', ['b']) == 'leaf.py:2' and place_of_key(files, 'c', ['b', 'c']) == 'root.py:1'
    assert place_of_key(files, 'a') == 'leaf.py:2' and place_of_key(files, 'b') == place_of_key(files, 'd', ['d']) == ''
    assert place_of_text(files, 'A') == 'root.py:1' and place_of_text(files, 'D') == ''


def test_names_that_files_use_are_known(write):
    paths = write(leaf="_base_ = 'root.py'\na = dict(b=root)\nc = {{_base_.one}}\nd = _base_.two\ne = 1", root='one = two = 1\nroot = 2')
    assert {'root', 'one', 'two'} <= names_read(config_files(paths['leaf'])) and 'e' not in names_read([paths['leaf']])


def test_the_nearest_file_may_lie_in_another_folder(write, tmp_path):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/some_config.py').write_text('')
    assert nearest_file(tmp_path / 'subb/some_config.py') == tmp_path / 'sub/some_config.py'

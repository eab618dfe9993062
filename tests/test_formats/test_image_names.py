import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmlabelpenet.formats.image_names import SUFFIXES, find_images, identities, read_image_list

PART = st.text(st.characters(codec='utf-8', exclude_categories=('Cc',), exclude_characters='/\ufeff'), min_size=1, max_size=8)
NAME = st.builds(lambda parts, suffix: '/'.join(parts) + suffix, st.lists(PART, min_size=1, max_size=3), st.sampled_from(SUFFIXES[:6]))
USUAL = NAME.filter(lambda name: not {'.', '..'} & set(name.split('/')))


@given(st.lists(USUAL, unique=True, max_size=12))
def test_every_file_has_an_identity_of_its_own_that_tells_its_folder(names):
    found = identities(names)
    assert list(found.values()) == names
    for image_id, name in found.items():
        assert name.startswith(image_id) and image_id.count('/') == name.count('/') and image_id == image_id.rstrip()


@given(st.lists(USUAL, unique=True, min_size=1, max_size=12))
def test_image_lists_are_read_as_they_are_written(tmp_path_factory, names):
    path = tmp_path_factory.mktemp('list') / 'train.txt'
    written = list(identities(names))
    path.write_bytes(''.join(f'{image_id}\n' for image_id in written).encode())
    assert read_image_list(path) == written


def test_names_that_end_in_the_suffix_twice_are_told_apart():
    assert identities(['a.jpg', 'a.jpg.jpg']) == {'a': 'a.jpg', 'a.jpg': 'a.jpg.jpg'}
    assert identities(['a.jpg', 'a.png', 'a.jpg.jpg']) == {'a.jpg': 'a.jpg', 'a.png': 'a.png', 'a.jpg.jpg': 'a.jpg.jpg'}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a\n\xe4\n', 'Line 2 of .*train.txt. is not UTF-8'),
        ('a\n'.encode('utf-16'), 'Line 1 of .*train.txt. is not UTF-8'),
        ('a\nb\n'.encode('utf-16-le'), 'Line 1 of .*train.txt. holds a NUL'),
        (b'a\n../b\n', "Line 2 of .*train.txt.: .*contains '..'"),
        (b'a\n/b\n', 'Line 2 of .*it is absolute'),
        (b'a\tb\n', 'Line 1 of .*control character'),
        (b'x' * 300, 'Line 1 of .*at most 255 bytes'),
        (b'\n \n', 'is empty'),
        (b'a b\na b\n', '1 image appears twice .*: a b'),
    ],
)
def test_a_list_that_names_no_images_is_refused_with_its_line(tmp_path, content, message):
    (tmp_path / 'train.txt').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_image_list(tmp_path / 'train.txt')


def test_lists_of_windows_and_with_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / 'train.txt').write_bytes('\ufeffa\u2028b\r\nc d  \r\n'.encode())
    assert read_image_list(tmp_path / 'train.txt') == ['a\u2028b', 'c d']


def test_linked_folders_are_searched_in_circles_only_once_and_hidden_ones_not(tmp_path):
    for name in ('in/cat/1.jfif', 'in/.git/2.jpg', 'in/notes.txt', 'in/.3.jpg', 'disk2/4.HEIC'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'in/bird').symlink_to(tmp_path / 'disk2', target_is_directory=True)
    (tmp_path / 'in/cat/up').symlink_to(tmp_path / 'in', target_is_directory=True)
    os.symlink(tmp_path / 'disk2/4.HEIC', tmp_path / 'in/5.heif')
    assert find_images(tmp_path / 'in') == (['5.heif', 'bird/4.HEIC', 'cat/1.jfif'], ['notes.txt'])
    assert find_images(tmp_path / 'in', links=False) == (['5.heif', 'cat/1.jfif'], ['notes.txt'])

"""File names read from files."""

import os
import re
import subprocess
import sys
from pathlib import PurePosixPath

import pytest

from mmlabelpenet.formats import file_names
from mmlabelpenet.formats.file_names import below, checked_name, fitted

REFUSED = [
    '/etc/passwd',
    '../a.jpg',
    'a/../../b.jpg',
    '..',
    '.',
    '',
    'a\0.jpg',
    'a\nb',
    'a\x1fb',
    'a\x7f',
    'a ',
    '\ud800.jpg',
    7,
    None,
    ['a'],
]
KEPT = ['a.jpg', 'day/a b.jpg', '...', 'a..b.jpg', ' a', '{{$HOME}}', 'a;b', 'C:\\x', '\udce4.jpg']  # the last is not UTF-8


@pytest.mark.parametrize('name', [*REFUSED, 'x' * 256, 'é' * 128, 5 * f'{"x" * 210}/'])
def test_names_that_leave_their_folder_or_name_no_file_are_refused_with_their_place(tmp_path, name):
    with pytest.raises(ValueError, match="^Line 3 of 'list.txt': .* is not a valid file name inside its folder"):
        below(tmp_path, name, "line 3 of 'list.txt'")


@pytest.mark.parametrize('name', [*KEPT, 'x' * 255, f'x{"ä" * 127}', f'ä/{"x" * 255}', f'{"x/" * 509}xx'])
def test_other_names_keep_their_letters(tmp_path, name):
    assert below(tmp_path, name) == tmp_path / name


def test_names_are_sound_under_a_locale_that_lacks_their_letters():
    name = '\\xe4\\U0001f408.jpg'
    line = f"import sys; from mmlabelpenet.formats.file_names import checked_name; sys.exit(checked_name('{name}') != '{name}')"
    environment = {**os.environ, 'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0'}
    assert subprocess.run([sys.executable, '-c', line], env=environment).returncode == 0


def test_a_link_out_of_the_root_is_followed_for_reading_but_not_for_writing(tmp_path):
    for folder in ('root', 'disk2'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'root/bird').symlink_to(tmp_path / 'disk2', target_is_directory=True)
    assert below(tmp_path / 'root', 'bird/a.jpg').parent.is_dir()
    with pytest.raises(ValueError, match="'bird/a.jpg' leads out of"):
        below(tmp_path / 'root', 'bird/a.jpg', links=False)
    assert below(tmp_path / 'root', 'new/a.jpg', links=False) == tmp_path / 'root/new/a.jpg'


NAMES = ['a.jpg', 'day/0001', 'a/../b', '..', '.', '', 'a//b', './a', 'a/.', '.hidden', 'a/.b', '/a', 'a\\n', 'a b', 'b ', 'é', 7, None]
NAMES += ['x' * 255, 'x' * 256]


def outcome(name):
    try:
        return checked_name(name)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize('name', NAMES)
def test_plain_names_which_are_looked_at_briefly_are_judged_as_all_others(monkeypatch, name):
    brief = outcome(name)
    monkeypatch.setattr(file_names, '_PLAIN', re.compile('(?!)'))  # fits nothing
    assert outcome(name) == brief


@pytest.mark.parametrize('name', ['ä' * 125, f'x{"ä" * 125}', f'day/{"ä" * 126}'])
def test_a_name_is_cut_between_letters_and_keeps_its_folder(name):
    short, other = fitted(name, 7), fitted(f'{name}b', 7)
    assert 243 < len(os.fsencode(PurePosixPath(short).name)) <= 248 and short != other
    assert PurePosixPath(short).parent == PurePosixPath(name).parent
    assert fitted('x' * 248, 7) == 'x' * 248

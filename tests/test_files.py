import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmlabelpenet import apis, files
from mmlabelpenet.apis.checkpoint import find_checkpoint, read_checkpoint
from mmlabelpenet.files import (
    atomic_folder,
    atomic_write,
    locked,
    make_folder,
    remove_partial,
    require_file,
    require_place,
    shipped,
    shown,
    temporary,
)
from mmlabelpenet.formats.images import list_images
from mmlabelpenet.workbench.exports.folder import replace_files
from mmlabelpenet.workbench.own_data.dataset import OwnData, make_own_data
from mmlabelpenet.workbench.own_data.tags import read_entries
from mmlabelpenet.workbench.report.run import Run, find_stores


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as file:
        file.write('ä\n')
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == 'ä\n'.encode()
    assert list(path.parent.iterdir()) == [path]


def test_bytes_replace_the_old_file_as_a_whole(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old and longer')
    with atomic_write(path, 'wb') as file:
        file.write(b'new')
        assert path.read_bytes() == b'old and longer'
    assert path.read_bytes() == b'new'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_file_stands_alone(tmp_path, error):
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def fail():
        with atomic_write(path) as file:
            file.write('half')
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    # The system refuses to let a file grow beyond 10,000 bytes, as a full disk would.
    code = f"""
import resource, signal
from mmlabelpenet.files import atomic_folder, atomic_write, locked
from mmlabelpenet.formats.file_names import below
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
with atomic_write({str(path)!r}, 'wb') as file:
    file.write(b'x' * 20_000)
"""
    result = subprocess.run([sys.executable, '-B', '-c', code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'OSError' in result.stderr
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / 'plain').touch()
    with atomic_write(tmp_path / 'a'):
        pass
    assert (tmp_path / 'a').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_another_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 'a'"), atomic_write(tmp_path / 'a', 'a'):
        pass


def test_a_folder_is_not_written_to_as_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=r'Expected the path of a file, got a folder: .*/out'):
        (tmp_path / 'out').mkdir()
        with atomic_write(tmp_path / 'out'):
            raise AssertionError('nothing is done before')


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    path = tmp_path / ('ä' * 125 + '.json')
    with locked(path), atomic_write(path) as file:
        file.write('a')
    assert path.read_text() == 'a'


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyError), atomic_folder(tmp_path / 'set') as folder:
        (folder / 'a.txt').write_text('a')
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / 'set') as folder:
        (folder / 'a.txt').write_text('a')
        assert not (tmp_path / 'set').exists()
    assert (tmp_path / 'set/a.txt').read_text() == 'a'


def test_a_folder_takes_the_place_of_an_empty_one_and_of_nothing_else(tmp_path):
    (tmp_path / 'empty').mkdir()
    with atomic_folder(tmp_path / 'empty') as folder:
        (folder / 'a.txt').touch()
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
    for name in ('empty', 'file', 'link'):  # the first is filled now
        with pytest.raises(FileExistsError, match=f'{name}. already exists'), atomic_folder(tmp_path / name):
            pytest.fail('It begins.')
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['a.txt', 'empty', 'file', 'link']


def test_what_another_process_removes_first_is_passed_over(tmp_path, monkeypatch):
    left = tmp_path / f'.run.1-{files._HERE}.partial'
    monkeypatch.setattr(files, 'is_alive', lambda process: left.unlink())
    for remove in (lambda: remove_partial(tmp_path / 'run'), lambda: atomic_write(tmp_path / 'run').__enter__().close()):
        left.touch()
        remove()
        assert not left.exists()


def test_a_shipped_file_is_the_repositorys_own_in_a_checkout():
    root = Path(__file__).resolve().parents[1]
    for name in ('configs', 'tools', 'demo', 'model-index.yml', 'configs/labelpenet/labelpenet_lite0_rendered.py'):
        assert shipped(name) == root / name and shipped(name).exists()


def test_a_path_is_shown_from_the_working_folder_on_where_it_lies_in_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / 'a/b.py') == 'a/b.py' and shown(Path('/elsewhere/b.py')) == '/elsewhere/b.py'


def test_what_is_not_a_regular_file_is_told_apart_from_what_is_missing(tmp_path):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'link').symlink_to('nowhere')
    os.mkfifo(tmp_path / 'pipe')
    for name, kind in (('folder', 'a folder'), ('link', 'a broken link'), ('pipe', 'a pipe')):
        with pytest.raises(FileNotFoundError, match=f"^Expected a regular file at '.*{name}', got {kind}.$"):
            require_file(tmp_path / name, 'It is missing.')
    with pytest.raises(FileNotFoundError, match='^It is missing.$'):
        require_file(tmp_path / 'nothing', 'It is missing.')
    (tmp_path / 'file').touch()
    require_file(tmp_path / 'file')


def test_a_place_of_results_is_a_file_in_a_folder_that_can_be_written(tmp_path, monkeypatch):
    require_place(None)
    require_place(tmp_path / 'new/a.json', ['.json'])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / 'new').mkdir()
    with pytest.raises(ValueError, match=r"written to a file with a name ending in .json, .pkl, got '.*a.txt'"):
        require_place(tmp_path / 'a.txt', ['.json', '.pkl'])
    with pytest.raises(ValueError, match="written to a file, got '.*new', a folder"):
        require_place(tmp_path / 'new')
    (tmp_path / 'mine').touch()
    with pytest.raises(NotADirectoryError, match="Expected a folder at '.*mine', got a file"):
        require_place(tmp_path / 'mine/a.json')
    with pytest.raises(NotADirectoryError, match="Expected a folder at '.*mine', got a file"):
        require_place(tmp_path / 'mine/new/a.json')
    monkeypatch.setattr('os.access', lambda *args: False)
    with pytest.raises(PermissionError, match=f'Results cannot be written to this folder. Choose another place: .{tmp_path}'):
        require_place(tmp_path / 'a.json')


@pytest.mark.parametrize('below', ['', 'b', 'b/c'])
def test_a_place_below_a_file_is_refused_and_names_the_file(tmp_path, below):
    (tmp_path / 'a').write_text('mine')
    message = f"^Expected a folder at '{tmp_path}/a', got a file. Choose another place.$"
    with pytest.raises(NotADirectoryError, match=message):
        make_folder(tmp_path / 'a' / below)
    for write in (lambda place: atomic_write(place).__enter__(), lambda place: locked(place).__enter__()):
        with pytest.raises(NotADirectoryError, match=message):
            write(tmp_path / 'a' / below / 'out.txt')
    assert (tmp_path / 'a').read_text() == 'mine'


def test_what_a_killed_process_left_of_a_file_goes_with_the_next_one_that_writes_it(tmp_path):
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    own = temporary(tmp_path / 'a.txt')  # of a process that lives
    left = own.with_name(own.name.replace(str(os.getpid()), str(ended.pid)))
    others = [left.with_name(left.name.replace('a.txt', 'b.txt')), own, left.with_name(f'.a.txt.{ended.pid}-of-another-machine.partial')]
    for path in (left, *others):
        path.touch()
    with atomic_write(tmp_path / 'a.txt') as file:
        file.write('new')
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / 'a.txt'])


@pytest.mark.parametrize(
    'read',
    [
        apis.load_config, list_images, find_checkpoint, read_checkpoint, read_entries, OwnData.load, Run, find_stores,
        lambda path: make_own_data(path, 'images', 'tags.csv'), lambda path: make_own_data('out', path, 'tags.csv'),
        lambda path: make_own_data('out', 'images', path), lambda path: replace_files(path, print),
    ],
)  # fmt: skip
def test_an_empty_text_is_not_taken_for_the_working_directory(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='^Expected the path of a file or folder, got an empty text'):
        read('')


def refuse(*args, **kwargs):
    raise PermissionError('Not yours')


def test_a_disk_that_refuses_at_the_end_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / 'a.txt').write_text('old')
    monkeypatch.setattr(os, 'fsync', refuse)
    with pytest.raises(PermissionError, match='Not yours'), atomic_write(tmp_path / 'a.txt') as file:
        file.write('new')
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [('a.txt', 'old')]


def test_a_file_that_cannot_be_opened_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(files, 'open', refuse, raising=False)
    with pytest.raises(PermissionError, match='Not yours'), atomic_write(tmp_path / 'a.txt'):
        pass


def test_what_cannot_be_removed_stays_without_an_error(tmp_path, monkeypatch):
    (tmp_path / '.set.1-0.partial').mkdir()
    (tmp_path / '.set.1-0.partial/a').touch()
    monkeypatch.setattr(files, 'is_alive', lambda process: False)
    monkeypatch.setattr(os, 'unlink', refuse)
    remove_partial(tmp_path / 'set')
    with pytest.raises(KeyError), atomic_folder(tmp_path / 'set') as folder:
        (folder / 'a').touch()
        raise KeyError

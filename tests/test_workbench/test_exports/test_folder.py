import multiprocessing
import subprocess

import pytest

from mmlabelpenet.workbench.exports.folder import RECEIPT, replace_files


def writer(**files):
    def write(folder):
        for name, text in files.items():
            path = folder / name.replace('__', '/')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob('*') if path.is_file() and path.name != RECEIPT}


def test_files_of_the_earlier_call_are_replaced_and_what_is_no_longer_written_is_removed(tmp_path):
    out = tmp_path / 'new/out'
    replace_files(out, writer(a='1', old__b='1', old__deep__c='1'))
    assert content(out) == {'a': '1', 'old/b': '1', 'old/deep/c': '1'}
    replace_files(out, writer(a='2', old__b='2'))
    assert content(out) == {'a': '2', 'old/b': '2'} and not (out / 'old/deep').exists()
    assert subprocess.run(['sha256sum', '-c', '--quiet', RECEIPT], cwd=out).returncode == 0
    assert [path.name for path in out.parent.iterdir()] == ['out']


def test_files_of_others_stay_where_they_are(tmp_path):
    (tmp_path / 'out/labels').mkdir(parents=True)
    (tmp_path / 'out/labels/hand.txt').write_text('mine')
    replace_files(tmp_path / 'out', writer(labels__a='1'))
    replace_files(tmp_path / 'out', writer(b='1'))
    assert content(tmp_path / 'out') == {'labels/hand.txt': 'mine', 'b': '1'}


@pytest.mark.parametrize('path', ['a', 'a/b', 'linked'])
def test_what_is_not_ours_is_never_overwritten(tmp_path, path):
    replace_files(tmp_path / 'out', writer(z='1'))
    (tmp_path / 'photos').mkdir()
    if path == 'linked':
        (tmp_path / 'out/a').symlink_to(tmp_path / 'photos')
    else:
        (tmp_path / 'out' / path).parent.mkdir(exist_ok=True)
        (tmp_path / 'out' / path).write_text('mine')
    before = content(tmp_path / 'out')
    with pytest.raises((FileExistsError, ValueError)) as error:
        replace_files(tmp_path / 'out', writer(z='2', **({'a__b': '2'} if path == 'linked' else {'a': '2'})))
    assert len(str(error.value)) <= 300 + len(str(tmp_path)) and '\n' not in str(error.value)
    assert content(tmp_path / 'out') == before and not list((tmp_path / 'photos').iterdir())


def test_a_file_changed_by_hand_is_refused_or_kept_as_asked(tmp_path):
    out = tmp_path / 'out'
    replace_files(out, writer(a='1', b='1', c='1'))
    (out / 'a').write_text('corrected')
    with pytest.raises(FileExistsError, match="a' has been changed since it was written, so it is not replaced"):
        replace_files(out, writer(a='2', b='2'))
    assert content(out) == dict(a='corrected', b='1', c='1')
    for _ in range(2):  # it is known as changed after the first time too
        assert replace_files(out, writer(a='2', b='2'), lambda name: name == 'a') == ['a']
        assert content(out) == dict(a='corrected', b='2')
    replace_files(out, writer(b='3'))
    assert content(out) == dict(a='corrected', b='3')


@pytest.mark.parametrize('path', ['out', 'out/a'])
def test_what_is_in_the_way_is_known_before_the_work_begins(tmp_path, path):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text('mine')
    with pytest.raises(FileExistsError, match=f"{path}' (is not a folder|was not written by an earlier run)"):
        replace_files(tmp_path / 'out', lambda folder: pytest.fail('hours of work'), certain=['a'])
    assert (tmp_path / path).read_text() == 'mine'


def test_a_failure_leaves_the_earlier_files(tmp_path):
    replace_files(tmp_path / 'out', writer(a='1'))

    def fail(folder):
        writer(a='2')(folder)
        raise OSError(28, 'No space left on device')

    with pytest.raises(OSError, match='No space'):
        replace_files(tmp_path / 'out', fail)
    assert content(tmp_path / 'out') == dict(a='1') and [path.name for path in tmp_path.iterdir()] == ['out']


def test_a_kill_while_files_are_moved_leaves_none_that_is_not_listed(tmp_path, monkeypatch):
    out, moved = tmp_path / 'out', []
    replace_files(out, writer(a='1', b='1', gone='1'))
    import os

    real = os.replace

    def stop(source, target):
        if str(target).endswith('/b'):
            raise KeyboardInterrupt
        moved.append(target)
        real(source, target)

    monkeypatch.setattr('os.replace', stop)
    with pytest.raises(KeyboardInterrupt):
        replace_files(out, writer(a='2', b='2', c='2'))
    monkeypatch.undo()
    assert moved and content(out) == dict(a='2', b='1', gone='1')
    replace_files(out, writer(a='3', b='3'))
    assert content(out) == dict(a='3', b='3')


def hold(out, begun, end):
    def write(folder):
        begun.set()
        end.wait(20)

    replace_files(out, write)


def test_two_writers_of_one_folder_are_told_apart(tmp_path):
    context = multiprocessing.get_context('fork')
    begun, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / 'out', begun, end))
    process.start()
    assert begun.wait(20)
    with pytest.raises(ValueError, match='is being written by'):
        replace_files(tmp_path / 'out', writer(a='1'))
    end.set()
    process.join()


@pytest.mark.parametrize('line', ['nonsense', f'{"0" * 64}  ../../x', f'{"0" * 64}  /etc/passwd'])
def test_a_receipt_cannot_lead_out_of_the_folder(tmp_path, line):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / RECEIPT).write_text(line + '\n')
    with pytest.raises(ValueError, match='malformed|is not a valid file name inside'):
        replace_files(tmp_path / 'out', writer(a='1'))

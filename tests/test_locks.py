"""Only one process at a time writes to a path."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mmlabelpenet import files
from mmlabelpenet.files import locked, locked_by_first_rank

HOLD = 'import sys, time; from mmlabelpenet.files import locked\nwith locked(sys.argv[1]): print("held", flush=True); time.sleep(600)'


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, '-B', '-c', HOLD, tmp_path / 'run'], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()


def test_the_second_process_is_told_at_once_who_holds_the_place_and_since_when(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda seconds: pytest.fail('It waits.'))
    message = rf'run. is being written by .*process {holder.pid} on .*, since 20\d\d-.*\. Wait'
    with pytest.raises(ValueError, match=message), locked(tmp_path / 'run'):
        pass


def test_a_lock_ends_with_its_process_and_leaves_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path / 'run'):
        pass
    with locked(tmp_path / 'run'):
        (tmp_path / '.run.lock').unlink()  # as somebody may who tidies up
    assert list(tmp_path.iterdir()) == [] and files._held == []


def test_a_forked_worker_that_outlives_its_parent_does_not_keep_the_lock(tmp_path):
    fork = 'import os; os.fork() or print(os.getpid(), flush=True)'  # the worker, once it has let go of the lock
    code = HOLD.replace('print("held", flush=True)', fork)
    process = subprocess.Popen([sys.executable, '-B', '-c', code, tmp_path / 'run'], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        with locked(tmp_path / 'run'):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_places_that_differ_are_locked_by_themselves(tmp_path):
    with locked(tmp_path / 'a'), locked(tmp_path / 'b'), locked(tmp_path / 'a.npz'), locked(tmp_path / 'new/folder/a'):
        assert (tmp_path / 'new/folder/.a.lock').is_file()


def test_the_lock_of_a_file_is_beside_it_where_it_cannot_be_written_too(tmp_path, monkeypatch):
    (tmp_path / 'a.npz').write_text('sound')
    (tmp_path / 'folder').mkdir()
    monkeypatch.setattr(os, 'access', lambda path, mode: False)  # tests may run as root
    with locked(tmp_path / 'a.npz'), locked(tmp_path / 'folder'):
        assert (tmp_path / '.a.npz.lock').is_file() and (tmp_path / 'folder/.lock').is_file()


def test_a_lock_removes_what_killed_processes_left_and_nothing_else(tmp_path):
    gone = subprocess.run(
        [sys.executable, '-c', 'import os; print(os.getpid())'], capture_output=True, text=True, check=True
    ).stdout.strip()
    kept = ['run/a.partial', f'run/.a.{os.getpid()}-0.partial', f'.other.{gone}-0.partial', 'run/sub/a.txt']
    kept += [f'run/photos.{gone}.partial', f'run/.photos.{gone}.partial', f'run/sub/a.{gone}-0.partial']
    left = [f'run/.a.{gone}-0.partial', f'run/sub/.b.pth.{gone}-0.partial', f'.run.{gone}-0.partial', f'.run.{gone}-1.partial/sub/a.txt']
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with locked(tmp_path / 'run'):
        pass
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*') if path.is_file()) == sorted(kept)


@pytest.mark.parametrize(('rank', 'locks'), [(None, True), ('0', True), ('1', False)])
def test_of_several_ranks_the_first_locks_for_all(tmp_path, monkeypatch, rank, locks):
    monkeypatch.delenv('RANK', raising=False) if rank is None else monkeypatch.setenv('RANK', rank)
    with locked_by_first_rank(tmp_path / 'run'), locked_by_first_rank(None):
        assert (tmp_path / '.run.lock').exists() == locks

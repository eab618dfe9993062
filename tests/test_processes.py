"""A helper process does not outlive its parent."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from filelock import FileLock

from mmlabelpenet import processes
from mmlabelpenet.processes import LAUNCHER, _remove_left, end_with, end_with_launcher, is_alive


def test_a_helper_ends_with_its_killed_parent():
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        me = os.getpid()
        helper = os.fork()
        if helper == 0:
            end_with(me)
            time.sleep(60)
            os._exit(0)
        os.write(write, str(helper).encode())
        time.sleep(60)
        os._exit(0)
    os.close(write)
    helper = int(os.read(read, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    # The helper's end of the pipe closes when it ends.
    begin = time.monotonic()
    assert os.read(read, 1) == b'' and time.monotonic() - begin < 30
    os.close(read)


def test_a_helper_in_code_that_holds_the_gil_ends_with_its_parent_too():
    code = 'end_children()\nif os.fork() == 0: print("ready", flush=True); ctypes.PyDLL(None).sleep(60)\ntime.sleep(60)'
    parent = starts(f'import ctypes\n{code}')
    parent.kill()
    begin = time.monotonic()
    assert parent.stdout.read() == '' and time.monotonic() - begin < 10
    parent.wait()


def test_what_a_thread_has_forked_outlives_the_thread():
    code = 'end_children()\nthread = threading.Thread(target=lambda: os.fork() or (time.sleep(2), print("lives", flush=True)))'
    parent = starts(f'import threading\n{code}\nthread.start()\nthread.join()\nprint("ready", flush=True)\ntime.sleep(4)')
    assert 'lives' in parent.stdout.read()
    parent.wait()


def starts(code, environment=None):
    """A process that starts others, and the reported process ID; the pipe closes when all have ended."""
    words = [sys.executable, '-B', '-c', f'import os, subprocess, sys, time\nfrom mmlabelpenet.processes import *\n{code}']
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {}))
    assert process.stdout.readline().strip() == 'ready'
    return process


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_what_a_command_forks_ends_with_it_also_in_the_second_generation(number):
    parent = starts('end_children()\nos.fork() or os.fork() or print("ready", flush=True)\ntime.sleep(60)')
    os.kill(parent.pid, number)
    begin = time.monotonic()
    assert parent.stdout.read() == '' and time.monotonic() - begin < 30
    parent.wait()


def test_a_command_ends_with_the_launcher_that_started_it_by_way_of_another_process():
    launcher = subprocess.Popen(['sleep', '60'])
    process = starts('end_with_launcher()\nprint("ready", flush=True)\ntime.sleep(60)', {LAUNCHER: str(launcher.pid)})
    launcher.kill()
    launcher.wait()
    assert process.wait(30) == 1


LISTENING = 'import multiprocessing.util\nkeep_temporary_files()\nprint("ready", flush=True)\nmultiprocessing.util.get_temp_dir()\n'


def code_of(process, kill=False):
    """The exit status of a process of :func:`starts`."""
    with process:
        if kill:
            process.kill()
        return process.wait(30)


@pytest.fixture
def short():
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:
        yield Path(folder)


def test_temporary_files_go_with_their_process_and_those_of_a_killed_one_with_the_next(short):
    (short / 'mmlpn-of-another-program').mkdir()
    there, place = {'mmlpn-of-another-program'}, {'TMPDIR': str(short)}
    assert code_of(starts(LISTENING, place)) == 0 and set(os.listdir(short)) == there
    lives, killed = (starts(f'{LISTENING}time.sleep(60)', place) for _ in range(2))
    assert code_of(killed, kill=True) and len(os.listdir(short)) == 3
    assert code_of(starts(LISTENING, place)) == 0 and len(os.listdir(short)) == 2  # that of the one at work stays
    assert code_of(lives, kill=True) and len(os.listdir(short)) == 2
    assert code_of(starts(f'{LISTENING}become(["true"])', place)) == 0 and set(os.listdir(short)) == there


def test_a_fork_leaves_the_temporary_files_of_its_parent(short):
    code = f'{LISTENING}if os.fork() == 0: sys.exit()\nos.wait()\nsys.exit(not os.path.isdir(tempfile.tempdir))'
    assert code_of(starts(f'import tempfile\n{code}', {'TMPDIR': str(short)})) == 0
    assert os.listdir(short) == []


LOADING = """
import tempfile
from torch.utils.data import DataLoader
from mmlabelpenet.processes import keep_temporary_files
keep_temporary_files()
keep_temporary_files()  # a second time changes nothing
assert len(tempfile.tempdir) == len('/tmp/mmlpn-12345678')
print([int(number) for number in DataLoader(list(range(4)), num_workers=1)])
"""


def test_data_loaders_work_where_the_path_for_temporary_files_is_long(tmp_path):
    folder = tmp_path.joinpath('a' * 50, 'a' * 50)
    folder.mkdir(parents=True)
    environment = os.environ | {'TMPDIR': str(folder)}
    done = subprocess.run([sys.executable, '-c', LOADING], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == '[0, 1, 2, 3]', done.stderr
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ('environment', 'ends'),
    [({}, []), ({'TORCHELASTIC_RUN_ID': 'a'}, ['parent']), ({LAUNCHER: '7'}, [7]), ({LAUNCHER: 'a'}, []), ({LAUNCHER: ''}, [])],
)
def test_a_process_ends_with_torchrun_and_with_the_launcher_where_these_started_it(monkeypatch, environment, ends):
    for name in ('TORCHELASTIC_RUN_ID', LAUNCHER):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = []
    monkeypatch.setattr(processes, 'end_with', found.append)
    monkeypatch.setattr(os, 'getppid', lambda: 'parent')
    end_with_launcher()
    assert found == ends


def test_a_folder_for_temporary_files_that_somebody_has_removed_is_no_error(short):
    code = 'import tempfile, shutil\nfrom mmlabelpenet.processes import *\nkeep_temporary_files()\nshutil.rmtree(tempfile.tempdir)'
    done = subprocess.run([sys.executable, '-c', code], env=os.environ | {'TMPDIR': str(short)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_of_a_folder_of_which_not_all_can_be_removed_the_rest_is(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f'mmlpn-a/{number}').mkdir(parents=True)
    (tmp_path / 'mmlpn-a/lock').touch()
    remove = os.rmdir
    monkeypatch.setattr(
        os, 'rmdir', lambda path, **at: os.stat('/nothing') if Path(path).name in map(str, range(1, 20, 2)) else remove(path, **at)
    )
    _remove_left(tmp_path / 'mmlpn-a')
    assert len(list((tmp_path / 'mmlpn-a').glob('[0-9]*'))) == 10


@pytest.mark.parametrize(('length', 'stays'), [(60, True), (61, False)])
def test_a_path_of_60_bytes_leaves_room_for_those_of_sockets(short, length, stays):
    folder = short / ('a' * (length - 1 - len(str(short))))
    folder.mkdir()
    code = 'import os, tempfile\nfrom mmlabelpenet.processes import *\nkeep_temporary_files()\nprint(os.path.dirname(tempfile.tempdir))'
    done = subprocess.run([sys.executable, '-c', code], env=os.environ | {'TMPDIR': str(folder)}, capture_output=True, text=True)
    assert done.stdout.strip() == (str(folder) if stays else '/tmp'), done.stderr


@pytest.mark.parametrize(('error', 'alive'), [(ProcessLookupError, False), (OverflowError, False), (PermissionError, True)])
def test_a_process_of_somebody_else_is_alive_and_one_that_nobody_has_is_not(monkeypatch, error, alive):
    def kill(process, number):
        assert (process, number) == (7, 0)  # 0 only asks
        raise error

    monkeypatch.setattr(os, 'kill', kill)
    assert is_alive(7) is alive


def test_a_folder_of_a_process_that_lives_stays_without_waiting_and_that_of_one_that_has_ended_goes(tmp_path, monkeypatch):
    folder = tmp_path / 'mmlpn-a'
    folder.mkdir()
    monkeypatch.setattr(time, 'sleep', lambda seconds: pytest.fail('It waits.'))
    with FileLock(folder / 'lock'):
        _remove_left(folder)
        assert folder.is_dir()
    _remove_left(folder)
    assert not folder.exists()

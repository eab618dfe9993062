"""A helping process does not outlive its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mmlabelpenet.processes import LAUNCHER, end_with


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
    """A process that starts others, and the number of the one that it tells of; the pipe closes when all have ended."""
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

"""Processes that help another end with it, however it ends."""

import atexit
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
_forked_by_main = False  # whether this process is a fork of its parent's main thread

_FOLDER, _LOCK = 'mmlpn-', 'lock'
_LONGEST = 60  # bytes of the path of such a folder's parent: multiprocessing's sockets, 47 bytes below it, have paths of at most 107
_removals: list[Callable[[], None]] = []  # what is to be done before this process becomes another

LAUNCHER = 'MMLABELPENET_LAUNCHER'  # environment: the process that started this one, maybe by way of torchrun


def end_children() -> None:
    """Have every process that is forked from now on end with its parent: workers of data loaders may otherwise wait forever."""
    parent = os.getpid()

    def watch() -> None:
        nonlocal parent
        end_with(parent)
        parent = os.getpid()

    os.register_at_fork(after_in_child=watch)


def end_with_launcher() -> None:
    """End this process within a second or two of torchrun, and of whatever started that."""
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        end_with(os.getppid())
    if (launcher := os.environ.get(LAUNCHER, '')).isdigit():
        end_with(int(launcher))


def end_with(other: int) -> None:
    """End this process with another, even where that was killed: at once with the parent, else within a second or two.

    The kernel ends the child of a parent's main thread: code that holds the GIL, or waits for a processor, does not delay it.

    Args:
        other: process id, such as the parent's.
    """
    is_parent = os.getppid() == other  # a killed parent that nobody waits for keeps its number, but not its children
    if is_parent and _forked_by_main and sys.platform == 'linux':  # the kernel's signal comes when the *thread* that forked ends
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == other if is_parent else is_alive(other):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _note_thread() -> None:
    global _forked_by_main
    _forked_by_main = threading.current_thread() is threading.main_thread()


os.register_at_fork(before=_note_thread)


def keep_temporary_files() -> None:
    """Keep temporary files of this process, and of those that it forks, in a folder that goes with it.

    It is in ``/tmp`` where the path of the usual place is too long for sockets: PyTorch's data loaders would wait forever. The folder of a
    process that was killed is removed by the next one that calls this: ``multiprocessing`` leaves what it has there.
    """
    from filelock import FileLock  # not before a command can name it where it is missing

    if _removals:
        return
    root = Path(tempfile.gettempdir())
    if len(os.fsencode(root)) > _LONGEST and os.access('/tmp', os.W_OK):
        root = Path('/tmp')
    for folder in root.glob(f'{_FOLDER}*'):
        _remove_left(folder)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=root))
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            tempfile.tempdir = str(root)
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()

    tempfile.tempdir = str(folder)
    atexit.register(remove)
    _removals.append(remove)


def become(command: Sequence[str]) -> None:
    """Run a command in place of this process, of which nothing is left."""
    for remove in _removals:
        remove()
    os.execvp(command[0], [*command])


def _remove_left(folder: Path) -> None:
    """Remove a folder for temporary files that no process holds."""
    from filelock import FileLock, Timeout

    try:
        if folder.stat().st_uid != os.getuid() or not (folder / _LOCK).exists():  # somebody else's, or one that is being made
            return
        with FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        return


def is_alive(process: int) -> bool:
    """Whether there is a process of this number.

    >>> is_alive(os.getpid())
    True
    """
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True

"""Helper processes that end with their main process, however it ends."""

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
_removals: list[Callable[[], None]] = []  # callbacks to run before this process is replaced by another program

LAUNCHER = 'MMLABELPENET_LAUNCHER'  # environment variable: the process that started this one, possibly through torchrun


def end_children() -> None:
    """Make every process forked from now on end with its parent: data-loader workers may otherwise wait forever."""
    parent = os.getpid()

    def watch() -> None:
        nonlocal parent
        end_with(parent)
        parent = os.getpid()

    os.register_at_fork(after_in_child=watch)


def end_with_launcher() -> None:
    """End this process within a second or two after torchrun, or the process that started torchrun, has ended."""
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        end_with(os.getppid())
    if (launcher := os.environ.get(LAUNCHER, '')).isdigit():
        end_with(int(launcher))


def end_with(other: int) -> None:
    """End this process when another one ends, even if that was killed: at once for the parent, else within a second or two.

    For a child of the parent's main thread, the kernel does this, so code that holds the GIL or waits for a CPU does not delay it.

    Args:
        other: process id, such as the parent's.
    """
    is_parent = os.getppid() == other  # a killed parent that has become a zombie keeps its pid, but not its children
    if is_parent and _forked_by_main and sys.platform == 'linux':  # the kernel sends the signal when the *thread* that forked ends
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
    """Keep temporary files of this process and its forks in a folder that is removed when it ends.

    The folder is in ``/tmp`` if the path of the usual place is too long for sockets: PyTorch's data loaders would wait forever. The folder
    of a killed process is removed by the next call: ``multiprocessing`` does not clean up.
    """
    from filelock import FileLock  # imported late, so that a command can report it if it is missing

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
    """Replace this process by a command."""
    for remove in _removals:
        remove()
    os.execvp(command[0], [*command])


def _remove_left(folder: Path) -> None:
    """Remove a temporary folder that no process uses."""
    from filelock import FileLock, Timeout

    try:
        if folder.stat().st_uid != os.getuid() or not (folder / _LOCK).exists():  # belongs to another user, or is being created
            return
        with FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        return


def is_alive(process: int) -> bool:
    """Whether a process with this pid exists.

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

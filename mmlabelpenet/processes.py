"""Processes that help another end with it, however it ends."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
_forked_by_main = False  # whether this process is a fork of its parent's main thread

LAUNCHER = 'MMLABELPENET_LAUNCHER'  # environment: the process that started this one, maybe by way of torchrun


def end_children() -> None:
    """Have every process that is forked from now on end with its parent: workers of data loaders may otherwise wait for ever."""
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

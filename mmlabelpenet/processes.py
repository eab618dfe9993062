"""Processes that help another end with it, however it ends."""

import os
import threading
import time

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
    """End this process within a second or two of another, even where that was killed.

    Args:
        other: process id, such as the parent's.
    """
    is_parent = os.getppid() == other  # a killed parent that nobody waits for keeps its number, but not its children

    def watch() -> None:
        while os.getppid() == other if is_parent else is_alive(other):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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

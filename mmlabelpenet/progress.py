"""Progress display on standard error: a bar on a terminal, otherwise a line every 20 seconds.

Only the first rank shows anything. No background thread is used, so processes can be forked in the meantime.
"""

import sys
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.control import Control
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import ControlType
from rich.text import Text

REFRESH, LINES = 0.1, 20.0  # seconds between two updates of a bar and between two lines

T = TypeVar('T')


class ProgressBar:
    """Shows the progress while its ``with`` block runs.

    Args:
        done: number of items already done.
        console: output; None is standard error.

    >>> with ProgressBar('images', total=2) as bar:
    ...     for _ in range(2):
    ...         bar.advance()
    """

    def __init__(self, text: str, total: int, done: int = 0, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        columns = (
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        fixed = dict(auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self.shown = is_first_rank()
        self.bar = Progress(*columns, console=self.console, disable=not (self.shown and self.console.is_terminal), **fixed)
        self.bar.add_task(text, total=total, completed=done)
        (self.task,) = self.bar.tasks
        self.updated = time.monotonic()

    def __enter__(self) -> 'ProgressBar':
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def advance(self, count: int = 1) -> None:
        """Add completed items."""
        self.bar.advance(self.task.id, count)
        now = time.monotonic()
        if self.shown and now - self.updated > (LINES if self.bar.disable else REFRESH):
            self.updated = now
            if self.bar.disable:
                self.console.print(self._line(), markup=False, highlight=False, soft_wrap=True)
            else:
                self.bar.refresh()

    def _line(self) -> str:
        left = self.task.time_remaining
        text = f'{self.task.description}: {self.task.completed:.0f} of {self.task.total:.0f}, {clock(self.task.elapsed)} elapsed'
        return text if left is None else f'{text}, {clock(left)} left'


def track(items: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar.

    Args:
        total: number of items; None takes their length.

    >>> list(track([1, 2], 'images'))
    [1, 2]
    """
    if total is None:
        total = len(items) if isinstance(items, Collection) else 0
    with ProgressBar(text, total) as bar:
        for item in items:
            yield item
            bar.advance()


class LiveLine:
    """A status line on a terminal that is overwritten repeatedly; does nothing without a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    @property
    def shown(self) -> bool:
        """Whether anything is written."""
        return self.console.is_terminal and is_first_rank()

    def show(self, text: str) -> None:
        """Replace the line, truncated to the terminal's width."""
        self.clear()
        if self.shown:
            self.console.print(Text(text), end='', no_wrap=True, overflow='ellipsis')

    def clear(self) -> None:
        """Clear the line so that others can write."""
        if self.shown:
            self.console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))


def is_first_rank() -> bool:
    """Whether this process may write; a process that has not imported PyTorch is not distributed, and does not import it for this."""
    if 'torch' not in sys.modules:
        return True
    from mmengine.dist import is_main_process

    return is_main_process()


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725), clock(65.4), clock(None)
    ('1:02:05', '0:01:05', '?')
    """
    return '?' if seconds is None else str(timedelta(seconds=round(seconds)))

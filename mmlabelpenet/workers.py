"""Worker processes that run in parallel with the network: the CRF holds the GIL, so threads would not help."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

import cv2
import torch

from mmlabelpenet.processes import end_with

Job, Result = TypeVar('Job'), TypeVar('Result')


class Workers:
    """A pool of forked processes with one thread each, started when they are first needed.

    Args:
        processes: number of processes; 0 runs everything in this process.

    >>> with Workers(2) as workers:
    ...     list(workers.map(abs, range(-3, 0)))
    [3, 2, 1]
    """

    def __init__(self, processes: int = 0) -> None:
        self.processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Result], *args: Any) -> Future[Result]:
        """Start a call in a worker; without workers, run it immediately.

        Args:
            function: and the arguments must be picklable.

        >>> Workers().submit(abs, -2).result()
        2
        """
        if self.processes > 0:
            return self._start().submit(function, *args)
        future: Future[Result] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001  raised when the result is read, as from a process
            future.set_exception(error)
        return future

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Results in the order of the jobs.

        A job is taken as soon as fewer than four per process are waiting, so the producer is not blocked.

        Args:
            function: and the jobs must be picklable.
        """
        if self.processes == 0:
            yield from map(function, jobs)
            return
        waiting = deque()
        for job in jobs:
            waiting.append(self.submit(function, job))
            if waiting[0].done() or len(waiting) > 4 * self.processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context('fork')
            self._pool = ProcessPoolExecutor(self.processes, context, initializer=start_worker, initargs=(os.getpid(),))
        return self._pool

    def __enter__(self) -> 'Workers':
        return self

    def __exit__(self, *error: object) -> None:
        """Terminate the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def start_worker(parent: int) -> None:
    """Use one thread, and end with the parent even if it is killed."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    end_with(parent)

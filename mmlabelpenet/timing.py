"""Timing of the parts of an iteration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds per part, while it runs; the time of a nested part is not counted in the outer one.

    >>> watch = Stopwatch()
    >>> watch.start()
    >>> with watch.part('labels'), watch.part('crf'):
    ...     time.sleep(0.01)
    >>> spent = watch.stop()
    >>> spent['crf'] >= 0.01 > spent['labels']
    True
    """

    def __init__(self) -> None:
        self.start()
        self.stop()

    def start(self, synchronize: bool = False) -> None:
        """Reset and start measuring; with ``synchronize`` a part ends when the GPU has finished it."""
        self._running, self._synchronize, self._inner = True, synchronize, [0.0]
        self._seconds: dict[str, float] = {}

    def stop(self) -> dict[str, float]:
        """Stop measuring; returns the seconds of each part."""
        self._running = False
        return self._seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a block."""
        if not self._running:
            yield
            return
        begin = self._now()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took, inner = self._now() - begin, self._inner.pop()
            self._inner[-1] += took
            self._seconds[name] = self._seconds.get(name, 0.0) + took - inner

    def _now(self) -> float:
        if self._synchronize and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()


STOPWATCH = Stopwatch()
timed = STOPWATCH.part

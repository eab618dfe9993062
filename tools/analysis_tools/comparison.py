"""Compare variants of a computation by alternating and repeating them; used by the suites in ``benchmarks/``."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Seconds = Mapping[str, float]


clocks = [time.perf_counter]  # the last definition applies


def clock() -> float:
    """The clock for all measurements on the CPU, in seconds."""
    return clocks[-1]()


def first_by_second(seconds: Seconds) -> float:
    """Time of the first variant divided by the time of the second."""
    first, second, *_ = seconds.values()
    return first / second


@dataclass(frozen=True)
class Comparison:
    """Named variants that are timed alternately.

    Attributes:
        name: name of the comparison, unique in its suite.
        variants: functions by name; return values are ignored.
        reach: target of the ratio; None without a target.
        at_least: whether the ratio must be at least ``reach``; otherwise at most.
        ratio: computes the ratio from the seconds of one round, by name.
        shapes: description of the computation.
        runs: number of measured rounds, at least 1.
        warmup: number of preceding rounds.
        prepare: called before every single run, outside the measured time.
        parts: called after a round; returns further seconds by name, measured by the variants themselves.

    Raises:
        ValueError: no round, or no variant.
    """

    name: str
    variants: Mapping[str, Callable[[], object]]
    reach: float | None = None
    at_least: bool = False
    ratio: Callable[[Seconds], float] = first_by_second
    shapes: str = ''
    runs: int = 7
    warmup: int = 1
    prepare: Callable[[], object] = field(default=lambda: None)
    parts: Callable[[], Seconds] = dict

    def __post_init__(self) -> None:
        """Reject invalid comparisons."""
        if self.runs < 1 or not self.variants:
            raise ValueError(f'Comparison {self.name!r} needs a round and a variant, got {self.runs} and {list(self.variants)}.')

    def holds(self, ratio: float) -> bool | None:
        """Whether a ratio reaches the target; None without a target.

        >>> Comparison('a', {'x': print}, reach=1.05).holds(1.04), Comparison('a', {'x': print}, reach=2, at_least=True).holds(1.9)
        (True, False)
        """
        if self.reach is None:
            return None
        return ratio >= self.reach if self.at_least else ratio <= self.reach


def measure(comparison: Comparison, device: torch.device) -> dict[str, Any]:
    """Time all variants alternately, every second round in reverse order, so that drifts of the machine affect all of them.

    Args:
        comparison: what to time.
        device: device of the variants; on CUDA, events are recorded on its stream, and the host waits for them.

    Returns:
        ``comparison``, ``ratio`` (median of the rounds' ratios), ``reach``, ``at_least``, ``holds`` (None without a target), ``median_s``
        and ``spread_s`` (interquartile range) by variant, ``runs``, ``seconds`` (all of them, by variant), ``shapes``.
    """
    seconds: dict[str, list[float]] = {name: [] for name in comparison.variants}
    for number in range(-comparison.warmup, comparison.runs):
        for name in list(comparison.variants)[:: -1 if number % 2 else 1]:
            comparison.prepare()
            spent = timed(comparison.variants[name], device)
            if number >= 0:
                seconds[name].append(spent)
        if number >= 0:
            for name, spent in comparison.parts().items():
                seconds.setdefault(name, []).append(spent)
    rounds = [dict(zip(seconds, values)) for values in zip(*seconds.values())]
    ratio = statistics.median(comparison.ratio(values) for values in rounds)
    return dict(
        comparison=comparison.name,
        ratio=ratio,
        reach=comparison.reach,
        at_least=comparison.at_least,
        holds=comparison.holds(ratio),
        median_s={name: statistics.median(values) for name, values in seconds.items()},
        spread_s={name: spread(values) for name, values in seconds.items()},
        runs=comparison.runs,
        seconds=seconds,
        shapes=comparison.shapes,
    )


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    if device.type != 'cuda':
        start = clock()
        run()
        return clock() - start
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    first.record(torch.cuda.current_stream(device))
    run()
    last.record(torch.cuda.current_stream(device))
    torch.cuda.synchronize(device)
    return first.elapsed_time(last) / 1000


def spread(values: list[float]) -> float:
    """Interquartile range.

    >>> spread([1.0, 2.0, 3.0, 4.0, 100.0])
    2.0
    """
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return high - low

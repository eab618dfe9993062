"""One line at the end of the terminal that says where training stands."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlabelpenet.registry import HOOKS

# Time of an iteration against that of the classification stage, as usual; only for phases that have not run yet.
_USUAL = dict(classification=1.0, detection=1.8, refinement=2.2, segmentation=2.2, recurrent=20.0)
_REFRESH = 0.2  # seconds


@HOOKS.register_module()
class LiveProgress(Hook):
    """Phase, iteration, time left of the whole schedule and losses of what trains, on a line that is written over and over.

    Nothing is written where the stream is no terminal. The time left counts the current phase at its own pace and phases to come at the
    usual ratio to it; labelling between phases is not in it.

    Args:
        stream: None is stderr.
        always: write although the stream is no terminal.
    """

    priority = 'NORMAL'  # before the logger, which then has a clean line

    def __init__(self, stream: IO[str] | None = None, always: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.shown = always or self.stream.isatty()
        self.pace: float | None = None
        self.started = self.written = -math.inf
        self.phase, self.text = '', ''

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Show where it stands while the iteration runs."""
        if self.shown and is_main_process() and self.text:
            self.stream.write(f'\r\x1b[2K{self.text}')
            self.stream.flush()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None) -> None:
        """Clear the line for the logger, and prepare the next."""
        if not self.shown or not is_main_process():
            return
        phases = [(phase.name, phase.iters) for phase in runner.train_loop.phases]
        name, done, total = where(phases, runner.iter + 1)
        self._measure(name)
        if time.monotonic() - self.written > _REFRESH or done == total:
            self.written = time.monotonic()
            self._clear()
            left = None if self.pace is None else time_left(phases, runner.iter + 1, self.pace)
            all_iters = sum(count for _, count in phases)
            self.text = f'{name} {done}/{total} | {runner.iter + 1}/{all_iters} | left {clock(left)} | {losses_text(outputs or {})}'[:159]

    def before_label_pass(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Leave the line to the labelling."""
        self._clear()

    def after_train(self, runner: Runner) -> None:
        """Leave a clean line."""
        self._clear()

    def _clear(self) -> None:
        if self.shown and self.text and is_main_process():
            self.stream.write('\r\x1b[2K')
            self.stream.flush()
        self.text = ''

    def _measure(self, phase: str) -> None:
        """A running mean of the time from iteration to iteration; a phase's first ones are not typical."""
        now = time.monotonic()
        if phase != self.phase:
            self.phase, self.pace = phase, None
        elif self.started > 0:
            spent = now - self.started
            self.pace = spent if self.pace is None else 0.9 * self.pace + 0.1 * spent
        self.started = now


def where(phases: Sequence[tuple[str, int]], iteration: int) -> tuple[str, int, int]:
    """Phase that iteration number ``iteration`` (from 1) is in, its number there, and the phase's length.

    >>> where([('classification', 5), ('detection', 3)], 6)
    ('detection', 1, 3)
    """
    for name, count in phases[:-1]:
        if iteration <= count:
            return name, iteration, count
        iteration -= count
    return phases[-1][0], iteration, phases[-1][1]


def time_left(phases: Sequence[tuple[str, int]], iteration: int, pace: float) -> float:
    """Seconds to the end of the schedule after ``iteration``.

    Args:
        phases: names and iterations.
        iteration: that are done.
        pace: seconds of an iteration in the current phase.

    >>> time_left([('classification', 10), ('recurrent', 2)], 4, pace=1.0)
    46.0
    """
    current, left, done = where(phases, max(iteration, 1))[0], 0.0, iteration
    for name, count in phases:
        rest = max(0, count - max(0, done))
        done -= count
        left += rest * pace * _USUAL[name] / _USUAL[current]
    return left


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725), clock(65.4), clock(None)
    ('1:02:05', '1:05', '?')
    """
    if seconds is None:
        return '?'
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes // 60}:{minutes % 60:02d}:{rest:02d}' if minutes >= 60 else f'{minutes}:{rest:02d}'


def losses_text(outputs: Mapping[str, Any]) -> str:
    """Losses of what has just trained: of one stage each, of several their sums.

    >>> losses_text({'loss': 3.0, 'detection.loss_cls': 1.0, 'detection.loss_bbox': 0.5, 'detection.acc': 9.0})
    'loss_cls 1.000  loss_bbox 0.500'
    """
    found = {key: _number(value) for key, value in outputs.items() if 'loss' in key.split('.')[-1] and key.count('.')}
    found = {key: value for key, value in found.items() if key.split('.')[-1] != 'loss'}
    stages = {key.rsplit('.', 1)[0] for key in found}
    if len(stages) > 1:
        sums: dict[str, float] = {}
        for key, value in found.items():
            name = key.rsplit('.', 1)[0]
            sums[name] = sums.get(name, 0.0) + value
        found = sums
    return '  '.join(f'{key.rsplit(".", 1)[-1] if len(stages) == 1 else key} {value:.3f}' for key, value in found.items())


def _number(value: Any) -> float:
    return float(value.detach()) if torch.is_tensor(value) else float(value)

"""A status line on the terminal that shows the progress of training."""

import math
import time
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from mmlabelpenet.engine.phases import Phase, locate
from mmlabelpenet.progress import LiveLine, clock
from mmlabelpenet.registry import HOOKS

_REFRESH = 0.2  # seconds


@HOOKS.register_module()
class LiveProgress(Hook):
    """Show phase, iteration, remaining time of the whole schedule and current losses on a line that is overwritten.

    Nothing is written if standard error is not a terminal; the log has the same numbers. The remaining time uses the measured pace of the
    current phase and typical ratios for later phases; label passes are not included.

    Args:
        console: output; None is standard error.
    """

    priority = 'NORMAL'  # before the logger, so that it starts on a clean line

    def __init__(self, console: Console | None = None) -> None:
        self.line = LiveLine(console)
        self.pace: float | None = None
        self.started = self.written = -math.inf
        self.phase, self.text = '', ''

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Show the line while the iteration runs."""
        if self.text:
            self.line.show(self.text)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None) -> None:
        """Clear the line for the logger, and prepare the next."""
        if not self.line.shown:
            return
        phases = runner.train_loop.phases
        phase, number = locate(phases, runner.iter)
        self._measure(phase.name)
        if time.monotonic() - self.written > _REFRESH or number + 1 == phase.iters:
            self.written = time.monotonic()
            self._clear()
            costs = relative_costs(runner.train_loop.model.names, [phase.name for phase in phases])
            left = None if self.pace is None else time_left(phases, costs, runner.iter + 1, self.pace)
            losses = loss_values(outputs or {})
            parts = [f'{phase.name} {number + 1}/{phase.iters}', f'{runner.iter + 1}/{runner.max_iters}', f'left {clock(left)}']
            self.text = ' | '.join([*parts, '  '.join(f'{key} {value:.3f}' for key, value in losses.items())])

    def before_label_pass(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Clear the line for the label pass."""
        self._clear()

    def after_train(self, runner: Runner) -> None:
        """Clear the line."""
        self._clear()

    def _clear(self) -> None:
        if self.text:
            self.line.clear()
        self.text = ''

    def _measure(self, phase: str) -> None:
        """A running mean of the time per iteration, without the first ones of a phase, which are not typical."""
        now = time.monotonic()
        if phase != self.phase:
            self.phase, self.pace = phase, None
        elif self.started > 0:
            spent = now - self.started
            self.pace = spent if self.pace is None else 0.9 * self.pace + 0.1 * spent
        self.started = now


def relative_costs(stages: Sequence[str], phases: Sequence[str]) -> list[float]:
    """Typical time of an iteration of each phase relative to the first stage.

    Later stages take about twice as long, since they compute their own proposals; a phase that trains all stages in both directions and
    generates labels takes about three times their sum.

    Args:
        stages: stages of the model, in order.
        phases: names; those that are not a stage train all stages.

    >>> relative_costs(['classification', 'detection'], ['classification', 'detection', 'recurrent'])
    [1.0, 2.0, 9.0]
    """
    costs = {name: 2.0 if number else 1.0 for number, name in enumerate(stages)}
    return [costs.get(phase, 3 * sum(costs.values())) for phase in phases]


def time_left(phases: Sequence[Phase], costs: Sequence[float], iteration: int, pace: float) -> float:
    """Remaining seconds of the schedule after ``iteration``.

    Args:
        phases: phases in order.
        costs: cost of an iteration of each phase, see :func:`relative_costs`.
        iteration: number of finished iterations, at least 1.
        pace: seconds per iteration in the current phase.

    >>> time_left([Phase('classification', 10), Phase('recurrent', 2)], [1.0, 20.0], 4, pace=1.0)
    46.0
    """
    left, current, end = 0.0, None, 0
    for phase, cost in zip(phases, costs, strict=True):
        end += phase.iters
        current = cost if current is None and iteration <= end else current
        left += cost * min(phase.iters, max(0, end - iteration))
    return left * pace / (current or costs[-1])


def loss_values(values: Mapping[str, Any]) -> dict[str, float]:
    """Current losses: each loss of a single stage, or sums over several stages.

    Args:
        values: logged values with keys ``[<direction>.]<stage>.<name>``; other keys are ignored.

    >>> loss_values({'loss': 3.0, 'detection.loss_cls': 1.0, 'detection.loss_bbox': 0.5, 'detection.acc': 9.0})
    {'loss_cls': 1.0, 'loss_bbox': 0.5}
    >>> loss_values({'forward.a.loss_x': 1.0, 'forward.a.loss_y': 2.0, 'forward.b.loss_x': 5.0})
    {'forward.a': 3.0, 'forward.b': 5.0}
    """
    found: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        part, _, name = key.rpartition('.')
        if part and 'loss' in name and name != 'loss' and isinstance(value, Real | torch.Tensor):
            found.setdefault(part, {})[name] = value.item() if torch.is_tensor(value) else float(value)
    return {part: sum(losses.values()) for part, losses in found.items()} if len(found) > 1 else next(iter(found.values()), {})

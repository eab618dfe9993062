"""Phases of training and the learning rate that each has (paper Sec. 4.2)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch.optim import Optimizer

from mmlabelpenet.models.recurrent import BACKWARD, FORWARD
from mmlabelpenet.registry import PARAM_SCHEDULERS
from mmlabelpenet.schema import convert

RECURRENT = 'recurrent'


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of iterations in which the same parts train.

    Args:
        name: a stage (cascaded pre-training) or ``'recurrent'``.
        iters: length in iterations of ``accumulative_counts`` mini-batches each.
        lr: initial learning rate; None uses the optimizer's.
        milestones: where in the phase the rate is multiplied by ``gamma``: shares of ``iters`` below 1, which follow it, or iterations.
        gamma: see ``milestones``.
        warmup: number of initial iterations over which the rate rises linearly to ``lr``.
        directions: of a recurrent iteration, one optimizer update each (row L9).
        alternate: one direction per iteration instead, in turn.
        pseudo_labels: store to learn from, instead of the one that the previous stage writes.
        any_maker: accept that store even if it was made by other weights than those of this run.
        warm_start: the stage starts from the weights of the previous one wherever a tensor has the same name and shape, which suits
            short schedules; the paper's stages all start from ImageNet.
    """

    name: str
    iters: int
    lr: float | None = None
    milestones: Sequence[int | float] = ()
    gamma: float = 0.1
    warmup: int = 0
    directions: Sequence[str] = (FORWARD, BACKWARD)
    alternate: bool = False
    pseudo_labels: str | None = None
    any_maker: bool = False
    warm_start: bool = False

    def __post_init__(self) -> None:
        if self.iters < 1:
            raise ValueError(f'Phase {self.name!r} needs at least one iteration, got {self.iters}.')
        if bad := [milestone for milestone in self.milestones if milestone <= 0 or (milestone > 1 and milestone != int(milestone))]:
            raise ValueError(f'milestones of phase {self.name!r} are shares of it between 0 and 1, or iterations, got {bad[0]!r}.')
        if unknown := set(self.directions) - {FORWARD, BACKWARD}:
            raise ValueError(f'Unknown directions {sorted(unknown)}. Choose from {FORWARD!r}, {BACKWARD!r}.')

    def trains(self, iteration: int) -> tuple[str, ...]:
        """What trains in the phase's iteration number ``iteration``, one update each.

        >>> Phase('detection', 5).trains(0), Phase('recurrent', 5).trains(0)
        (('detection',), ('forward', 'backward'))
        """
        if self.name != RECURRENT:
            return (self.name,)
        return (self.directions[iteration % len(self.directions)],) if self.alternate else tuple(self.directions)

    def rate(self, iteration: int, base: float) -> float:
        """Learning rate in the phase's iteration number ``iteration``, from 0 on; ``base`` is that of a phase without ``lr``.

        >>> phase = Phase('detection', 5, lr=0.5, milestones=[0.6], warmup=1)
        >>> [phase.rate(iteration, base=1.0) for iteration in (0, 2, 3)]
        [0.25, 0.5, 0.05]
        """
        steps = [round(milestone * self.iters) if milestone < 1 else milestone for milestone in self.milestones]
        passed = sum(step <= iteration for step in steps)
        return (base if self.lr is None else self.lr) * min(1.0, (iteration + 1) / (self.warmup + 1)) * self.gamma**passed


def make_phases(phases: Mapping[str, Mapping[str, Any] | None], stages: Sequence[str]) -> list[Phase]:
    """The phases of a config, without those set to None, in the order of the model's stages, recurrent fine-tuning last.

    Raises:
        TypeError: the phases are a list, as they were up to version 0.1.
        ValueError: no phase, a name that is not a stage, a value of another type, or ``warm_start`` of the first stage.

    >>> phases = dict(recurrent=dict(iters=1), detection=None, classification=dict(iters=2))
    >>> [phase.name for phase in make_phases(phases, ['classification'])]
    ['classification', 'recurrent']
    """
    if not isinstance(phases, Mapping):
        raise TypeError(f'train_cfg.phases is a dict by name, such as dict(detection=dict(iters=100)), got {type(phases).__name__}.')
    given = {name: settings for name, settings in phases.items() if settings is not None}
    if unknown := [name for name in given if name not in (*stages, RECURRENT)]:
        raise ValueError(f'Phases {unknown} train no stage of the model; it has {", ".join(stages)}, and {RECURRENT!r} trains all of them.')
    if not given:
        raise ValueError('The loop needs at least one phase in train_cfg.phases, got none.')
    ordered = [name for name in (*stages, RECURRENT) if name in given]
    made = [convert({**given[name], 'name': name}, Phase, f'Phase {name!r} is malformed') for name in ordered]
    if bad := [phase.name for phase in made if phase.warm_start and phase.name not in stages[1:]]:
        raise ValueError(f'Phase {bad[0]!r} has no stage before it whose weights it could begin with. Leave warm_start out.')
    return made


def check_place(phases: Sequence[Phase], trained: Mapping[str, int], iteration: int) -> None:
    """Refuse to resume where a checkpoint would land in another place of the schedule than it was written in.

    ``trained`` are the lengths of phases, in order, when the checkpoint was written after ``iteration``; empty if that is not known.

    Raises:
        ValueError: a phase that had begun by then begins at another iteration now.

    >>> check_place([Phase('classification', 9), Phase('detection', 8)], dict(classification=9, detection=2), 11)
    """
    now = {phase.name: phase.iters for phase in phases}
    for name, begin in _begins(trained).items():
        if begin < iteration and _begins(now).get(name) != begin:
            raise ValueError(
                f'The checkpoint has done {iteration} iterations with phases {dict(trained)}, the config has {now}: {name} would begin '
                'elsewhere. Keep the lengths of finished phases in train_cfg.phases, or start again with load_from.'
            )


def _begins(lengths: Mapping[str, int]) -> dict[str, int]:
    """First iteration of each phase, by name."""
    return dict(zip(lengths, itertools.accumulate(lengths.values(), initial=0), strict=False))


def check_schedulers(schedulers: Any) -> None:
    """Raise a ValueError for schedulers, or their configs, that count epochs: training has none, and their rates would never change."""
    for scheduler in schedulers if isinstance(schedulers, list | tuple) else [schedulers]:
        if str(isinstance(scheduler, Mapping) and scheduler.get('type')).endswith('ReduceOnPlateauLR'):
            raise ValueError(
                'ReduceOnPlateauLR counts epochs, of which this training has none: give train_cfg.phases.<name> its lr and milestones.'
            )
        by_epoch = scheduler.get('by_epoch', True) if isinstance(scheduler, Mapping) else getattr(scheduler, 'by_epoch', False)
        if by_epoch and not (isinstance(scheduler, Mapping) and (scheduler.get('convert_to_iter_based') or 'type' not in scheduler)):
            kind = scheduler['type'] if isinstance(scheduler, Mapping) else type(scheduler).__name__
            raise ValueError(
                f'{kind} in param_scheduler counts epochs, of which this training has none: set by_epoch=False, or leave param_scheduler '
                'out and give train_cfg.phases.<name> its lr, milestones and warmup.'
            )


@PARAM_SCHEDULERS.register_module()
class PhaseLR(_ParamScheduler):
    """The learning rate of each phase, by the iteration alone: a resumed run follows the phases of its config, not those of a checkpoint.

    Parameter groups keep their multiples of the optimizer's rate (``paramwise_cfg``, ``auto_scale_lr``). Keys that mmengine's runner
    adds to the config of a scheduler, such as an end, are ignored.
    """

    def __init__(self, optimizer: Optimizer, phases: Sequence[Phase], **unused: Any) -> None:
        self.phases = tuple(phases)
        inner = getattr(optimizer, 'optimizer', optimizer)  # mmengine wraps it
        self.nominal: float = inner.defaults['lr']
        super().__init__(optimizer, 'lr', by_epoch=False)

    def _get_value(self) -> list[float]:
        phase, number = locate(self.phases, self.last_step)
        rate = phase.rate(number, self.nominal)
        return [rate * base / self.nominal if self.nominal else rate for base in self.base_values]

    def state_dict(self) -> dict[str, int]:
        """How many iterations are done."""
        return dict(last_step=self.last_step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where a checkpoint was, with the phases and rates of this config."""
        self.last_step = self._global_step = state_dict['last_step']
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group['lr'] = value
        self._last_value = [group['lr'] for group in self.optimizer.param_groups]


def locate(phases: Sequence[Phase], iteration: int) -> tuple[Phase, int]:
    """The phase to which an iteration of the run belongs, and the number of that iteration within the phase. Both numbers begin at 0.

    The last phase does not end.

    >>> phase, number = locate([Phase('classification', 5), Phase('detection', 3)], 5)
    >>> phase.name, number
    ('detection', 0)
    """
    for phase in phases[:-1]:
        if iteration < phase.iters:
            return phase, iteration
        iteration -= phase.iters
    return phases[-1], iteration

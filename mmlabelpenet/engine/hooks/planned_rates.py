"""The learning rate follows the config also after a training was resumed under a changed one."""

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner

from mmlabelpenet.registry import HOOKS

_PROGRESS = ('base_values', 'last_step', '_global_step', '_last_value')  # how far a scheduler has come; the rest of its state is its plan


@HOOKS.register_module()
class PlannedRatesHook(Hook):
    """Resuming takes from a checkpoint how far the schedulers have come, and from the config what they are to do.

    mmengine takes both from the checkpoint. A run that goes on after its end with more iterations, or in a phase that the first config
    had not, would keep its last rate for good, since its schedulers ended with it.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the config's plan into the states that the runner is about to take."""
        if not runner._resume or 'param_schedulers' not in checkpoint or runner.param_schedulers is None:
            return
        for scheduler, state in zip(_flat(runner.param_schedulers), _flat(checkpoint['param_schedulers'])):
            state.update({key: value for key, value in scheduler.state_dict().items() if key not in _PROGRESS})

    def before_train(self, runner: Runner) -> None:
        """Make up for the step that a scheduler left out because the first training ended there."""
        for scheduler in _flat(runner.param_schedulers or []) if runner._resume else []:
            missed = max(0, min(scheduler._global_step, scheduler.end - 1) - scheduler.begin - scheduler.last_step)
            scheduler._global_step -= missed
            for _ in range(missed):
                scheduler.step()


def _flat(schedulers: Iterable | Mapping[str, Iterable]) -> list[_ParamScheduler | dict[str, Any]]:
    """All schedulers, or their states: one list, also where mmengine keeps one for each of several optimizers."""
    return [each for group in schedulers.values() for each in group] if isinstance(schedulers, Mapping) else list(schedulers)

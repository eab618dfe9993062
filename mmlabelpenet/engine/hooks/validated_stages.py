"""Validate only trained stages while the cascade trains."""

from collections.abc import Collection, Mapping
from math import inf
from typing import Any

from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlabelpenet.engine.network import network
from mmlabelpenet.registry import HOOKS


class ValidatedStagesHook(Hook):
    """Restricts validation to the stages trained so far; the loop registers it."""

    def before_phase(self, runner: Runner, phase: Any) -> None:
        """Record these stages."""
        names = stages_of(runner)
        self.stages = names[: names.index(phase.name) + 1] if phase.name in names else names

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Make the model predict with them."""
        data_batch['stages'] = self.stages


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """mmengine's early stopping, applied to each phase separately; metrics of stages that have not trained yet are ignored.

    Its arguments are those of mmengine's hook; ``monitor`` is a metric such as ``'detection/bbox_mAP_50_area'``.
    """

    def before_phase(self, runner: Runner, phase: Any) -> None:
        """Reset the patience counter."""
        self.wait_count, self.best_score = 0, -inf if self.rule == 'greater' else inf

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Stop the phase if the metric no longer improves."""
        if is_measured(self.monitor, metrics or {}, stages_of(runner)):
            super().after_val_epoch(runner, metrics)


def stages_of(runner: Runner) -> tuple[str, ...]:
    """Names of the model's stages; empty for an mmdet model."""
    return getattr(network(runner), 'names', ())


def is_measured(key: str, metrics: Mapping[str, float], stages: Collection[str]) -> bool:
    """Whether a metric, ``<stage>/<name>``, is in the validation results: False for a stage that has not trained yet.

    An unknown metric raises a ValueError.

    >>> is_measured('detection/mIoU', {'classification/mIoU': 1.0}, ['classification', 'detection'])
    False
    """
    if key in metrics:
        return True
    stage, _, name = key.rpartition('/')
    if stage in stages and not any(other.startswith(f'{stage}/') for other in metrics):
        return False
    raise ValueError(f'{key!r} is not a validation metric. Use <stage>/<metric>; available are {", ".join(sorted(metrics))}.')

"""Time per part of an iteration."""

import time

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlabelpenet.registry import HOOKS
from mmlabelpenet.timing import STOPWATCH


@HOOKS.register_module()
class PartTimesHook(Hook):
    """Log seconds per iteration, in addition to mmengine's ``time`` and ``data_time``.

    ``backbone.time`` and ``<stage>.time`` are forward passes, ``labels.time`` is label generation without the CRF and refinement by colour,
    ``crf.time`` and ``cut.time`` are those two, ``update.time`` the rest: backward passes and the optimizer.

    Args:
        synchronize: whether each part waits until the GPU is done, which makes training a little slower. Without it, work on the GPU
            counts for the part in which the program next waits for it.
    """

    def __init__(self, synchronize: bool = False) -> None:
        self.synchronize = synchronize

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Start measuring."""
        self.begin = time.perf_counter()
        STOPWATCH.start(self.synchronize)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Log the measured times."""
        spent = STOPWATCH.stop()
        spent['update'] = time.perf_counter() - self.begin - sum(spent.values())
        for part, seconds in spent.items():
            runner.message_hub.update_scalar(f'train/{part}.time', seconds)

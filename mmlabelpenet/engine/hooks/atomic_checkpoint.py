"""Atomically written checkpoints."""

import math
import time
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch import Tensor

from mmlabelpenet.engine.hooks.validated_stages import is_measured, stages_of
from mmlabelpenet.files import atomic_write
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.schema import counted


class AtomicBackend(LocalBackend):
    """mmengine's local file backend, writing to a temporary name and then renaming."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file atomically."""
        with atomic_write(filepath, 'wb') as file:
            file.write(obj)


register_backend('atomic', AtomicBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook with atomic and regular checkpoints.

    A kill or a full disk cannot leave a partially written checkpoint. Checkpoints are saved every ``interval`` iterations, at the end of
    each phase, and when the last one is ``minutes`` old. ``save_best`` starts when the stage of its metric trains; ``'auto'`` uses the mask
    AP of the last stage, or its box AP if it has no masks.

    Args:
        minutes: age of the last checkpoint at which another one is saved, except in epoch-based schedules; None disables this rule.
        max_keep_ckpts: at least 2, because the oldest one is deleted before a new one is written; -1 keeps all.
        by_epoch: whether ``interval`` counts epochs.
        **kwargs: as for mmengine's ``CheckpointHook``.
    """

    def __init__(self, minutes: float | None = 10, max_keep_ckpts: int = 2, by_epoch: bool = False, **kwargs) -> None:
        if 0 <= max_keep_ckpts < 2:
            raise ValueError(
                'Keep at least two checkpoints, so that one remains while the next is written: set '
                f'default_hooks.checkpoint.max_keep_ckpts=2, got {max_keep_ckpts}.'
            )
        if minutes is not None and not minutes > 0:
            raise ValueError(f'minutes between checkpoints must be above 0, got {minutes}; None disables checkpoints by time.')
        super().__init__(max_keep_ckpts=max_keep_ckpts, by_epoch=by_epoch, backend_args=dict(backend='atomic'), **kwargs)
        self.minutes, self._written = minutes, time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Also remove partial files of a killed run."""
        super().before_train(runner)
        self._written = time.monotonic()
        if is_main_process():
            for path in Path(self.out_dir).glob('.*.pth.*.partial'):
                path.unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Reject NaN and infinite weights, and remove keys from the log's index that the checkpoint does not contain; mmengine would warn
        about each of them when resuming.
        """
        check_weights(checkpoint['state_dict'], runner.iter + 1)
        hub = checkpoint['message_hub']
        held = hub['log_scalars'].keys() | hub['runtime_info'].keys()
        hub['resumed_keys'] = {key: True for key, resumed in hub['resumed_keys'].items() if resumed and key in held}

    def every_n_train_iters(self, runner: Runner, n: int, start: int = 0) -> bool:
        """Whether a checkpoint is due after the iteration; mmengine's hook calls this."""
        ends = accumulate(phase.iters for phase in getattr(runner.train_loop, 'phases', ()))
        late = self.minutes is not None and time.monotonic() - self._written >= 60 * self.minutes
        return late or runner.iter + 1 in ends or super().every_n_train_iters(runner, n, start)

    def _save_checkpoint(self, runner: Runner) -> None:
        super()._save_checkpoint(runner)
        self._written = time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Write a checkpoint if one is due; an OSError says what to do if it cannot be written."""
        try:
            super().after_train_iter(runner, batch_idx, data_batch=data_batch, outputs=outputs)
        except OSError as error:
            raise OSError(
                error.errno,
                f'The checkpoint after iteration {runner.iter + 1} cannot be written to {self.out_dir} ({error.strerror}). '
                'The previous one is intact: free some space, then continue with --resume',
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        names, keys = stages_of(runner), getattr(self, 'key_indicators', [])
        if not self.save_best or not names:
            super()._save_best_checkpoint(runner, metrics)
        elif 'auto' in keys:
            of_last = [key for key in metrics if key.startswith(f'{names[-1]}/')]
            for best in [key for key in of_last if 'segm_mAP_50' in key][:1] or of_last[:1]:
                super()._save_best_checkpoint(runner, {best: metrics[best]})
        else:
            super()._save_best_checkpoint(runner, {key: metrics[key] if is_measured(key, metrics, names) else None for key in keys})


def check_weights(weights: Mapping[str, Tensor], iteration: int) -> None:
    """Raise a FloatingPointError for tensors with NaN or infinite values."""
    bad = [name for name, value in weights.items() if value.is_floating_point() and not math.isfinite(value.sum(dtype=torch.float64))]
    if bad:
        raise FloatingPointError(
            f'the weights after iteration {iteration} are not finite ({counted(len(bad), "tensor")}, the first is {bad[0]}). '
            'No checkpoint was written, and earlier ones are intact: lower the learning rate, then continue with --resume.'
        )

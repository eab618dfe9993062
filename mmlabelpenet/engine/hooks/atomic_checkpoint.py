"""Checkpoints that are there whole or not at all."""

import time
from itertools import accumulate
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmlabelpenet.engine.hooks.validated_stages import is_measured, stages_of
from mmlabelpenet.files import atomic_write
from mmlabelpenet.registry import HOOKS


class AtomicBackend(LocalBackend):
    """mmengine's local files, written under another name and then renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file whole or not at all."""
        with atomic_write(filepath, 'wb') as file:
            file.write(obj)


register_backend('atomic', AtomicBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook, with checkpoints that no kill and no full disk can leave half written, and that come in time.

    There is one after every ``interval`` iterations, at the end of each phase, and where the last one is ``minutes`` old.

    ``save_best`` waits until the stage of its metric trains; ``'auto'`` goes by the masks of the last stage, or by its boxes where
    it has none.

    Args:
        minutes: None for the first two alone. Schedules in epochs have no checkpoint within an epoch.
        max_keep_ckpts: the oldest goes before a new one is written, so at least 2; -1 keeps all.
        by_epoch: whether ``interval`` counts epochs.
        **kwargs: of mmengine's ``CheckpointHook``.
    """

    def __init__(self, minutes: float | None = 10, max_keep_ckpts: int = 2, by_epoch: bool = False, **kwargs) -> None:
        if 0 <= max_keep_ckpts < 2:
            raise ValueError(f'Keep at least two checkpoints, one to fall back on while the next is written; got {max_keep_ckpts}.')
        if minutes is not None and minutes <= 0:
            raise ValueError(f'minutes between checkpoints must be above 0, got {minutes}; None turns checkpoints by time off.')
        super().__init__(max_keep_ckpts=max_keep_ckpts, by_epoch=by_epoch, backend_args=dict(backend='atomic'), **kwargs)
        self.minutes, self._written = minutes, time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Also remove what a killed run had half written."""
        super().before_train(runner)
        self._written = time.monotonic()
        if is_main_process():
            for path in Path(self.out_dir).glob('.*.pth.*.partial'):
                path.unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leave out of the log's index what the checkpoint does not hold; mmengine would warn of each key when it is resumed."""
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
        """Write a checkpoint where one is due; an OSError says what to do if it cannot be written."""
        try:
            super().after_train_iter(runner, batch_idx, data_batch=data_batch, outputs=outputs)
        except OSError as error:
            raise OSError(
                error.errno,
                f'The checkpoint after iteration {runner.iter + 1} cannot be written to {self.out_dir} ({error.strerror}). '
                'The one before it is intact: make space, then continue with --resume',
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

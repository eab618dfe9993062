"""The training loop: cascaded pre-training, then recurrent mixed fine-tuning (paper Sec. 3.3 and 4.2). It only says who trains now."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.logging import MessageHub, print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from mmlabelpenet.engine.label_pass import LabelPass
from mmlabelpenet.models.label_penet import BACKWARD, FORWARD
from mmlabelpenet.registry import LOOPS
from mmlabelpenet.structures import STAGES

RECURRENT = 'recurrent'


@dataclass(frozen=True)
class Phase:
    """A stretch of iterations in which the same parts train.

    Args:
        name: a stage (cascaded pre-training) or ``'recurrent'``.
        iters: its length.
        directions: what a recurrent iteration runs, one optimizer update each (row L9).
        alternate: one direction per iteration instead, in turn.
        pseudo_labels: store to learn from, in place of the one that the stage before writes.

    Raises:
        ValueError: unknown name or direction, no iteration.
    """

    name: str
    iters: int
    directions: Sequence[str] = (FORWARD, BACKWARD)
    alternate: bool = False
    pseudo_labels: str | None = None

    def __post_init__(self) -> None:
        if self.name not in (*STAGES, RECURRENT):
            raise ValueError(f'Unknown phase {self.name!r}. Choose one of {", ".join((*STAGES, RECURRENT))}.')
        if self.iters < 1:
            raise ValueError(f'Phase {self.name!r} needs at least one iteration, got {self.iters}.')
        if unknown := set(self.directions) - {FORWARD, BACKWARD}:
            raise ValueError(f'Unknown directions {sorted(unknown)}. Choose from {FORWARD!r}, {BACKWARD!r}.')

    def curricula(self, iteration: int) -> tuple[str, ...]:
        """What to train in the phase's iteration number ``iteration``, one update each.

        >>> Phase('detection', 5).curricula(0), Phase('recurrent', 5).curricula(0)
        (('detection',), ('forward', 'backward'))
        """
        if self.name != RECURRENT:
            return (self.name,)
        return (self.directions[iteration % len(self.directions)],) if self.alternate else tuple(self.directions)

    @property
    def teacher(self) -> str | None:
        """The stage whose stored labels this phase learns from."""
        cascaded = self.name in STAGES[1:] and self.pseudo_labels is None
        return STAGES[STAGES.index(self.name) - 1] if cascaded else None


@LOOPS.register_module()
class LabelPropagationLoop(IterBasedTrainLoop):
    """Phase after phase in one run, with one line of checkpoints, resumable anywhere.

    Between phases the stage that has just finished labels the training set, with the config's ``label_dataloader``.

    An iteration's random numbers depend on the seed and the iteration alone, so a resumed run is the uninterrupted one.

    Args:
        runner: mmengine's runner.
        dataloader: of the training split; its sampler must be a ``ResumableSampler``.
        phases: configs of :class:`Phase`, in order. A single phase may stand alone, with the stages before it loaded.
        **kwargs: of mmengine's ``IterBasedTrainLoop`` (``val_interval``, ...).

    Raises:
        ValueError: no phase, one of a stage that the model lacks, a sampler that cannot be resumed, or persistent workers.
    """

    def __init__(self, runner: Runner, dataloader: dict, phases: Sequence[dict], **kwargs) -> None:
        self.phases = [Phase(**phase) for phase in phases]
        if not self.phases:
            raise ValueError('The loop needs at least one phase, got none.')
        super().__init__(runner, dataloader, max_iters=sum(phase.iters for phase in self.phases), **kwargs)
        if not hasattr(self.dataloader.sampler, 'start'):
            raise ValueError(f'The sampler must be a ResumableSampler, got {type(self.dataloader.sampler).__name__}.')
        if getattr(self.dataloader, 'persistent_workers', False):
            raise ValueError('Workers must not outlive a phase, they keep its pseudo labels: set persistent_workers=False.')
        if unknown := [phase.name for phase in self.phases if phase.name not in (*self.model.names, RECURRENT)]:
            raise ValueError(f'Phases {unknown} train stages that the model lacks; it has {", ".join(self.model.names)}.')
        self.label_pass = LabelPass(runner.cfg.label_dataloader, f'{runner.work_dir}/pseudo_labels')

    @property
    def model(self) -> torch.nn.Module:
        """The network without wrapper."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def run(self) -> torch.nn.Module:
        """Train all phases that are not done yet."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        start = 0
        for phase in self.phases:
            if self._iter < start + phase.iters and not self.stop_training:
                self.enter_phase(phase)
                self.run_phase(phase, start)
            start += phase.iters
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def enter_phase(self, phase: Phase) -> None:
        """Make or read the phase's pseudo labels, and draw on from where the run stands."""
        print_log(f'Phase {phase.name}: {phase.iters} of {self._max_iters} iterations, now at {self._iter}', 'current')
        self._forget_losses()
        store = self.label_pass.run(self.runner, phase.teacher, self.model) if phase.teacher else None
        self.dataloader.dataset.use_pseudo_labels(store or phase.pseudo_labels)
        self.dataloader.sampler.start = self._iter * self.dataloader.batch_size
        self.batches = iter(self.dataloader)

    def run_phase(self, phase: Phase, start: int) -> None:
        """Iterate to the end of the phase, which began at iteration ``start``."""
        while self._iter < start + phase.iters and not self.stop_training:
            self.runner.model.train()
            batch = next(self.batches)
            self.run_iter(batch, phase.curricula(self._iter - start))
            self._decide_current_val_interval()
            if self.runner.val_loop is not None and self._iter >= self.val_begin and self._iter % self.val_interval == 0:
                self.runner.val_loop.run()

    def run_iter(self, data_batch: dict, curricula: Sequence[str]) -> None:
        """One mini-batch, one optimizer update per curriculum."""
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data_batch)
        torch.manual_seed(self._seed())
        np.random.seed(self._seed())
        outputs = {}
        for curriculum in curricula:
            self.model.curriculum = curriculum
            logs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
            prefix = f'{curriculum}.' if curriculum in (FORWARD, BACKWARD) else ''
            outputs |= {f'{prefix}{key}': value for key, value in logs.items()}
        self.runner.call_hook('after_train_iter', batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _seed(self) -> int:
        return int(np.random.SeedSequence((self.runner.seed or 0, self._iter, get_rank())).generate_state(1)[0])

    @staticmethod
    def _forget_losses() -> None:
        """A finished stage's last losses would be logged for ever."""
        scalars, finished = MessageHub.get_current_instance().log_scalars, (*STAGES, FORWARD, BACKWARD, 'loss')
        for key in [key for key in scalars if key.startswith('train/') and key.split('/')[1].split('.')[0] in finished]:
            scalars.pop(key)

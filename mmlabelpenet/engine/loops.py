"""The training loop: cascaded pre-training, then recurrent mixed fine-tuning (paper Sec. 3.3 and 4.2). It only says who trains now."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MessageHub, print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from mmlabelpenet.calibration.workers import Workers
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.engine.label_pass import LabelPass, check_maker
from mmlabelpenet.models.label_penet import BACKWARD, FORWARD
from mmlabelpenet.registry import LOOPS
from mmlabelpenet.structures import STAGES

RECURRENT = 'recurrent'


@dataclass(frozen=True)
class Phase:
    """A stretch of iterations in which the same parts train.

    Args:
        name: a stage (cascaded pre-training) or ``'recurrent'``.
        iters: its length in iterations, each of ``accumulative_counts`` mini-batches.
        directions: what a recurrent iteration runs, one optimizer update each (row L9).
        alternate: one direction per iteration instead, in turn.
        pseudo_labels: store to learn from, in place of the one that the stage before writes.
        any_maker: take that store even where other weights than those of this run have made it.
        warm_start: the stage begins with the weights of the one before it, wherever both have a tensor of one name and shape. A short
            schedule then goes on instead of beginning anew; the paper's stages all begin from ImageNet.

    Raises:
        ValueError: unknown name or direction, no iteration, or no stage to take weights from.
    """

    name: str
    iters: int
    directions: Sequence[str] = (FORWARD, BACKWARD)
    alternate: bool = False
    pseudo_labels: str | None = None
    any_maker: bool = False
    warm_start: bool = False

    def __post_init__(self) -> None:
        if self.name not in (*STAGES, RECURRENT):
            raise ValueError(f'Unknown phase {self.name!r}. Choose one of {", ".join((*STAGES, RECURRENT))}.')
        if self.iters < 1:
            raise ValueError(f'Phase {self.name!r} needs at least one iteration, got {self.iters}.')
        if unknown := set(self.directions) - {FORWARD, BACKWARD}:
            raise ValueError(f'Unknown directions {sorted(unknown)}. Choose from {FORWARD!r}, {BACKWARD!r}.')
        if self.warm_start and self.name not in STAGES[1:]:
            raise ValueError(f'Phase {self.name!r} has no stage before it whose weights it could begin with. Leave warm_start out.')

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

    An iteration is one optimizer update (in recurrent fine-tuning one per direction), of as many mini-batches as the config's
    ``optim_wrapper.accumulative_counts`` says; phases, schedules and checkpoints count these. Its random numbers depend on the seed
    and the number of the mini-batch alone: a resumed run is the uninterrupted one, and W ranks are one rank that accumulates W batches.

    Hooks may have a ``before_label_pass(runner, stage)`` and a ``before_phase(runner, phase)`` beside mmengine's methods.

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
        self.batches_per_update: int = runner.cfg.optim_wrapper.get('accumulative_counts', 1)
        self.label_pass = LabelPass(runner.cfg.label_dataloader, f'{runner.work_dir}/pseudo_labels')

    @property
    def model(self) -> torch.nn.Module:
        """The network without wrapper."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def run(self) -> torch.nn.Module:
        """Train all phases that are not done yet."""
        # mmengine counts mini-batches; here an iteration has all of its own, so that none is left over at the end or on resuming.
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, 0, -1)
        if self._iter % self.batches_per_update:
            print_log("No gradient is lost, whatever mmengine's warning says: an iteration here ends with an update.", 'current')
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        start = 0
        for phase in self.phases:
            if self._iter < start + phase.iters and not self.stop_training:
                self.enter_phase(phase, start)
                with Workers(self.label_pass.num_workers if phase.name == RECURRENT else 0) as self.model.workers:
                    self.run_phase(phase, start)
            start += phase.iters
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def enter_phase(self, phase: Phase, start: int) -> None:
        """Make or read the pseudo labels of a phase that begins at iteration ``start``, and draw on from where the run stands."""
        print_log(f'Phase {phase.name}: {phase.iters} of {self._max_iters} iterations, now at {self._iter}', 'current')
        self._forget_scalars()
        self.dataloader.dataset.use_pseudo_labels(self._labels_for(phase, resumed=self._iter > start))
        if phase.warm_start and self._iter == start:
            take_weights(self.model.stages[phase.name], self.model.stages[STAGES[STAGES.index(phase.name) - 1]])
        sampler, batch_size = self.dataloader.sampler, self.dataloader.batch_size
        sampler.batch_size, sampler.start = batch_size, self._iter * self.batches_per_update * batch_size
        self.runner.call_hook('before_phase', phase=phase)
        self.batches = iter(self.dataloader)

    def _labels_for(self, phase: Phase, resumed: bool) -> PseudoLabelStore | None:
        """The store that a phase learns from.

        Raises:
            ValueError: a phase that is resumed began with other labels, or the store that a phase names is of other weights.
        """
        hub = MessageHub.get_current_instance()
        if phase.teacher:
            self.runner.call_hook('before_label_pass', stage=phase.teacher)
            store = self.label_pass.run(self.runner, phase.teacher, self.model)
        else:
            store = PseudoLabelStore.load(phase.pseudo_labels) if phase.pseudo_labels else None
            if store and not resumed and not phase.any_maker:
                check_maker(store, self.model)
        digest = store.digest() if store else None
        if resumed and hub.get_info('pseudo_labels', digest) != digest:
            raise ValueError(
                f'Phase {phase.name} began with other pseudo labels than those that lie there now. Put the store back that it began '
                'with, or resume from a checkpoint from before the phase.'
            )
        hub.update_info('pseudo_labels', digest)
        return store

    def run_phase(self, phase: Phase, start: int) -> None:
        """Iterate to the end of the phase, which began at iteration ``start``."""
        while self._iter < start + phase.iters and not self.stop_training:
            self.runner.model.train()
            try:
                self.run_iter([next(self.batches) for _ in range(self.batches_per_update)], phase.curricula(self._iter - start))
            except FloatingPointError as error:
                raise FloatingPointError(f'Iteration {self._iter} of phase {phase.name}: {error}') from error
            self._decide_current_val_interval()
            if self.runner.val_loop is not None and self._iter >= self.val_begin and self._iter % self.val_interval == 0:
                self.runner.val_loop.run()

    def run_iter(self, batches: Sequence[dict], curricula: Sequence[str]) -> None:
        """One optimizer update per curriculum, each with the gradients of all mini-batches. Hooks see the last of these."""
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=batches[-1])
        self.model.received.clear()
        outputs = {}
        for turn, curriculum in enumerate(curricula):
            self.model.curriculum = curriculum
            logs = []
            for number, batch in enumerate(batches):
                self._seed(number, turn)
                logs.append(self.runner.model.train_step(batch, optim_wrapper=self.runner.optim_wrapper))
            prefix = f'{curriculum}.' if curriculum in (FORWARD, BACKWARD) else ''
            outputs |= {f'{prefix}{key}': value for key, value in mean_logs(logs).items()}
        self.runner.call_hook('after_train_iter', batch_idx=self._iter, data_batch=batches[-1], outputs=outputs)
        self._iter += 1

    def _seed(self, number: int, turn: int) -> None:
        """All random numbers of the iteration's mini-batch ``number`` on this rank, in its update number ``turn``."""
        batch = (self._iter * self.batches_per_update + number) * get_world_size() + get_rank()
        seed = int(np.random.SeedSequence((self.runner.seed or 0, batch, turn)).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    @staticmethod
    def _forget_scalars() -> None:
        """The last values of what trained in a finished phase would be logged for ever."""
        scalars, finished = MessageHub.get_current_instance().log_scalars, (*STAGES, FORWARD, BACKWARD, 'backbone', 'loss')
        for key in [key for key in scalars if key.startswith('train/') and key.split('/')[1].split('.')[0] in finished]:
            scalars.pop(key)


def take_weights(stage: torch.nn.Module, teacher: torch.nn.Module) -> None:
    """Copy into ``stage`` all parameters and buffers of ``teacher`` that it has too, by name and shape.

    Raises:
        ValueError: there are none.

    >>> old, new = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> take_weights(new, old)
    >>> torch.equal(old.weight, new.weight)
    True
    """
    own = stage.state_dict()
    shared = {name: value for name, value in teacher.state_dict().items() if name in own and own[name].shape == value.shape}
    if not shared:
        raise ValueError('warm_start: the two stages have no tensor of one name and shape. Leave it out, or give them one structure.')
    stage.load_state_dict(own | shared)
    print_log(f'{len(shared)} of {len(own)} tensors begin with the values of the stage before.', 'current')


def mean_logs(logs: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Mean of each logged value over the mini-batches that have it.

    >>> mean_logs([{'loss': torch.tensor(1.0)}, {'loss': torch.tensor(2.0), 'acc': torch.tensor(5.0)}])
    {'loss': tensor(1.5000), 'acc': tensor(5.)}
    """
    keys = dict.fromkeys(key for log in logs for key in log)
    return {key: torch.stack([log[key] for log in logs if key in log]).mean() for key in keys}

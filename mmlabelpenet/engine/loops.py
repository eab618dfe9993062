"""The training loop: cascaded pre-training, then recurrent mixed fine-tuning (paper Sec. 3.3 and 4.2). It only decides what trains when."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub, print_log
from mmengine.runner import IterBasedTrainLoop, Runner

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.samplers import seed_all
from mmlabelpenet.engine.checks import check_covered, check_hooks, check_loader, check_stores, check_tags_teach
from mmlabelpenet.engine.hooks.validated_stages import ValidatedStagesHook
from mmlabelpenet.engine.label_pass import LabelPass, check_maker
from mmlabelpenet.engine.network import network
from mmlabelpenet.engine.phases import RECURRENT, Phase, PhaseLR, check_place, check_schedulers, make_phases
from mmlabelpenet.engine.resuming import compare_run
from mmlabelpenet.engine.warm_start import fitting_weights, last_stage, take_weights
from mmlabelpenet.models.recurrent import BACKWARD, FORWARD
from mmlabelpenet.registry import LOOPS
from mmlabelpenet.schema import counted
from mmlabelpenet.workers import Workers


@LOOPS.register_module()
class LabelPropagationLoop(IterBasedTrainLoop):
    """Runs all phases in one resumable training with a single sequence of checkpoints.

    Between phases, the stage that has just been trained labels the training set, using the config's ``label_dataloader``. An iteration is
    one optimizer update (in recurrent fine-tuning one per direction) of ``optim_wrapper.accumulative_counts`` mini-batches; phases,
    schedules and checkpoints count iterations. Random numbers depend only on the seed and the index of the mini-batch: a resumed run equals
    an uninterrupted one, and W ranks equal one rank that accumulates W batches. Besides mmengine's methods, hooks may implement
    ``before_label_pass(runner, stage)``, ``before_phase(runner, phase)`` and ``before_update(runner, trains)``. After an iteration,
    ``data_batch['labels']`` holds the pseudo instances that each stage learnt from, by stage, prefixed with the direction in recurrent
    fine-tuning. Validation evaluates the stages trained so far, and early stopping ends a phase.

    Args:
        runner: mmengine's runner.
        dataloader: data loader of the training split; its sampler must be a ``ResumableSampler``.
        phases: arguments of each :class:`~.phases.Phase` by name. Earlier phases may be omitted if their stages are loaded.
        **kwargs: as for mmengine's ``IterBasedTrainLoop`` (``val_interval``, ...).

    Raises:
        ValueError: no phase, or a phase without a stage; a sampler that cannot be resumed; persistent workers; learning rates both in
            phases and in ``param_scheduler``; schedulers, checkpoints or logs by epoch; a data set that does not support pseudo labels or
            has other classes than the model.
    """

    def __init__(self, runner: Runner, dataloader: dict, phases: dict[str, dict | None], **kwargs) -> None:
        if 'max_iters' in kwargs:
            raise ValueError('The training length is the sum of the phases: set train_cfg.phases.<name>.iters instead of max_iters.')
        self.model = model = network(runner)
        self.phases = make_phases(phases, model.names)
        if runner.param_schedulers is None:
            runner.param_schedulers = [dict(type='PhaseLR', phases=self.phases)]
        elif any(phase.lr or phase.milestones or phase.warmup for phase in self.phases):
            raise ValueError(
                'Learning rates are set twice: in train_cfg.phases (lr, milestones, warmup) and in param_scheduler. Remove one of them.'
            )
        else:
            check_schedulers(runner.param_schedulers)
        super().__init__(runner, dataloader, max_iters=sum(phase.iters for phase in self.phases), **kwargs)
        del self.dataloader_iterator  # each phase has its own; mmengine 0.10.7 would start workers here that live until the end of the run
        check_stores(self.phases, model.stages)
        check_loader(self.dataloader, model.num_classes)
        check_hooks(runner.hooks, runner.log_processor, validates=runner._val_loop is not None)
        check_tags_teach(
            self.dataloader.dataset.metainfo['classes'], [model.stages[phase.name] for phase in self.phases if phase.name in model.stages]
        )
        runner.register_hook(ValidatedStagesHook())
        self.batches_per_update: int = runner.cfg.optim_wrapper.get('accumulative_counts', 1)
        self.label_pass = LabelPass(runner.cfg.label_dataloader, f'{runner.work_dir}/pseudo_labels', runner.cfg.model)
        if any(self.stage_before(phase) and not phase.pseudo_labels for phase in self.phases):  # before hours of training
            self.label_pass.loader(runner, ())
            check_covered(self.dataloader.dataset, self.label_pass.dataset.image_ids)

    def run(self) -> torch.nn.Module:
        """Train all remaining phases."""
        # mmengine counts mini-batches; here an iteration consists of whole updates, so none is left over at the end or when resuming.
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, 0, -1)
        if self._iter % self.batches_per_update:
            print_log("Ignore mmengine's warning about lost gradients: here every iteration ends with an update.", 'current')
        hub = MessageHub.get_current_instance()
        check_place(self.phases, hub.get_info('phases', {}), self._iter)
        hub.update_info('phases', {phase.name: phase.iters for phase in self.phases})
        if self._iter >= self._max_iters:
            print_log(f'Nothing left to train: {counted(self._iter, "iteration", "is", of=self._max_iters)} done.', 'current')
        compare_run(self.runner.cfg, self.dataloader, self.batches_per_update)
        for phase in self.phases:
            if isinstance(phase.warm_start, str):  # read again when the phase begins
                fitting_weights(self.model.stages[phase.name], last_stage(phase.warm_start), self.model.num_classes, phase.warm_start)
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        start = 0
        for phase in self.phases:
            if self._iter < start + phase.iters:
                self.enter_phase(phase, start)
                with Workers(self.label_pass.num_workers if phase.name == RECURRENT else 0) as workers:
                    self.run_phase(phase, start, workers)
                if self.stop_training:
                    self.leave_phase(phase, start + phase.iters)
            start += phase.iters
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def enter_phase(self, phase: Phase, start: int) -> None:
        """Generate or read the pseudo labels of a phase that starts at iteration ``start``, and continue sampling images."""
        rate = phase.rate(self._iter - start, self.runner.optim_wrapper.defaults['lr'])
        print_log(
            f'Phase {phase.name}: {counted(phase.iters, "iteration", of=self._max_iters)}, now at {self._iter}, learning rate {rate:g}',
            'current',
        )
        self._forget_scalars()
        store = self._labels_for(phase, resumed=self._iter > start)
        if store is not None:
            check_covered(self.dataloader.dataset, store.image_ids)
        self.dataloader.dataset.use_pseudo_labels(store)
        if phase.warm_start and self._iter == start:
            own = phase.warm_start is True
            weights = self.model.stages[self.stage_before(phase)].state_dict() if own else last_stage(phase.warm_start)
            source = 'the previous stage' if own else phase.warm_start
            take_weights(self.model.stages[phase.name], weights, self.model.num_classes, source)
        self.dataloader.sampler.begin(self._iter * self.batches_per_update, self.dataloader.batch_size)
        self.runner.call_hook('before_phase', phase=phase)
        self.batches = iter(self.dataloader)

    def _labels_for(self, phase: Phase, resumed: bool) -> PseudoLabelStore | None:
        """The label store from which a phase learns.

        Raises:
            ValueError: a resumed phase was started with other labels, or the store named by a phase was generated by other weights.
        """
        hub = MessageHub.get_current_instance()
        teacher, begun = self.stage_before(phase), hub.get_info('pseudo_labels') if resumed else None
        if teacher and not phase.pseudo_labels:
            self.runner.call_hook('before_label_pass', stage=teacher)
            store = self.label_pass.run(self.runner, teacher, self.model, begun)
        else:
            store = PseudoLabelStore.load(phase.pseudo_labels) if phase.pseudo_labels else None
            if store and not resumed and not phase.any_maker:
                check_maker(store, self.model)
        digest = store.digest() if store else None
        if begun not in (None, digest):
            raise ValueError(
                f'Phase {phase.name} was started with other pseudo labels than those now in its store. Restore the original store, '
                'or resume from a checkpoint from before the phase.'
            )
        hub.update_info('pseudo_labels', digest)
        return store

    def stage_before(self, phase: Phase) -> str | None:
        """The stage before the one trained in a phase; None for the first stage and for recurrent fine-tuning."""
        names = self.model.names
        return names[names.index(phase.name) - 1] if phase.name in names[1:] else None

    def run_phase(self, phase: Phase, start: int, workers: Workers) -> None:
        """Iterate to the end of the phase that started at iteration ``start``."""
        while self._iter < start + phase.iters and not self.stop_training:
            self.runner.model.train()
            try:
                batches = [next(self.batches) for _ in range(self.batches_per_update)]
                self.run_iter(batches, phase.trains(self._iter - start), workers)
            except FloatingPointError as error:
                raise FloatingPointError(f'Iteration {self._iter} of phase {phase.name}: {error}') from error
            self._decide_current_val_interval()
            due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
            if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
                self.runner.val_loop.run()

    def leave_phase(self, phase: Phase, end: int) -> None:
        """End a phase early on request of a hook, write a checkpoint, and continue with the phase that starts at ``end``."""
        print_log(f'Phase {phase.name} is stopped at iteration {self._iter}; counting continues from its planned end, {end}.', 'current')
        self.stop_training = False
        for scheduler in self.runner.param_schedulers:
            if isinstance(scheduler, PhaseLR):
                scheduler.load_state_dict(dict(last_step=end))
        self._iter = end - 1  # the iteration after which hooks write a checkpoint
        for hook in self.runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook._save_checkpoint(self.runner)
        self._iter = end

    def run_iter(self, batches: Sequence[dict], trains: Sequence[str], workers: Workers | None = None) -> None:
        """One optimizer update per stage or direction being trained, with gradients of all mini-batches. Hooks see the last mini-batch."""
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=batches[-1])
        outputs, labels = {}, {}
        for turn, each in enumerate(trains):
            self.runner.call_hook('before_update', trains=each)
            logs = []
            for number, batch in enumerate(batches):
                self._seed(number, turn)
                batch = batch | dict(trains=each, workers=workers)
                logs.append(self.runner.model.train_step(batch, optim_wrapper=self.runner.optim_wrapper))
                received = logs[-1].pop('labels')
            prefix = f'{each}.' if each in (FORWARD, BACKWARD) else ''
            outputs |= {f'{prefix}{key}': value for key, value in mean_logs(logs).items()}
            labels |= {f'{prefix}{name}': pseudo for name, pseudo in received.items()}
        self.runner.call_hook('after_train_iter', batch_idx=self._iter, data_batch=batches[-1] | dict(labels=labels), outputs=outputs)
        self._iter += 1

    def _seed(self, number: int, turn: int) -> None:
        """Seed all random numbers of mini-batch ``number`` of the iteration on this rank, in update ``turn``."""
        batch = (self._iter * self.batches_per_update + number) * get_world_size() + get_rank()
        seed_all(int(np.random.SeedSequence((self.runner.seed or 0, batch, turn)).generate_state(1)[0]))

    def _forget_scalars(self) -> None:
        """Remove the last values of finished phases, which would otherwise be logged until the end."""
        scalars, finished = MessageHub.get_current_instance().log_scalars, (*self.model.names, FORWARD, BACKWARD, 'backbone', 'loss')
        for key in [key for key in scalars if key.startswith('train/') and key.split('/')[1].split('.')[0] in finished]:
            scalars.pop(key)


def mean_logs(logs: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Mean of each logged value over the mini-batches that contain it.

    >>> mean_logs([{'loss': torch.tensor(1.0)}, {'loss': torch.tensor(2.0), 'acc': torch.tensor(5.0)}])
    {'loss': tensor(1.5000), 'acc': tensor(5.)}
    """
    keys = dict.fromkeys(key for log in logs for key in log)
    return {key: torch.stack([log[key] for log in logs if key in log]).mean() for key in keys}

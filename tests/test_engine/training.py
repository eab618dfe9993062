"""Complete and killed training runs of the toy network."""

import multiprocessing
import os
import signal
import socket
import time

import torch
import toy
from mmengine.hooks import Hook

from mmlabelpenet.apis.train import train as train_from_config
from mmlabelpenet.engine.label_pass import LabelPass
from mmlabelpenet.registry import HOOKS

PHASES = [('classification', 3), ('detection', 3), ('refinement', 3), ('segmentation', 3), ('recurrent', 3)]


@HOOKS.register_module(force=True)
class KillAt(Hook):
    """The process dies in the middle of an iteration: after its update, before its checkpoint."""

    priority = 'VERY_HIGH'

    def __init__(self, iteration, rank=0):
        self.iteration, self.rank = iteration, rank

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if batch_idx == self.iteration and runner.rank == self.rank:
            die()


@HOOKS.register_module(force=True)
class Record(Hook):
    """Losses of every iteration, and the weights when a phase is over."""

    def before_train(self, runner):
        self.logs, self.weights, self.ends = [], [], []

    def before_phase(self, runner, phase):
        self.ends.append(runner.iter + phase.iters)

    def after_train_iter(self, runner, batch_idx, outputs=None, **kwargs):
        self.logs.append({key: float(value.detach()) for key, value in outputs.items() if 'loss' in key})
        if batch_idx + 1 == self.ends[-1]:
            self.weights.append(toy.weights(getattr(runner.model, 'module', runner.model)))


def recorded(runner):
    # By name: the search for examples imports this file once more, and the registry holds the class of that import.
    return next(hook for hook in runner.hooks if type(hook).__name__ == Record.__name__)


def on_ranks(world_size, function, folder, timeout=150):
    """Call ``function(rank)`` in one process for each rank; returns what they return and how the processes ended."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]

    def run(rank):
        names = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world_size, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
        os.environ.update({name: str(value) for name, value in names.items()})
        torch.save(function(rank), f'{folder}/rank_{rank}.pth')

    os.makedirs(folder, exist_ok=True)
    processes = [multiprocessing.get_context('fork').Process(target=run, args=(rank,)) for rank in range(world_size)]
    for process in processes:
        process.start()
    end = time.monotonic() + timeout
    for process in processes:
        process.join(max(0, end - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    results = [torch.load(f'{folder}/rank_{rank}.pth', weights_only=False) if codes[rank] == 0 else None for rank in range(world_size)]
    return results, codes


def train_on_ranks(world_size, data_root, work_dir, phases=PHASES, batch_size=1, hooks=(), **kwargs):
    """Train on several ranks of this machine; returns what each recorded, ``(logs, weights)``, and how the processes ended."""

    def run(rank):
        config = toy.run_config(data_root, work_dir, phases, hooks=[*hooks, dict(type='Record')], **kwargs)
        config.launcher = 'pytorch'
        config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
        config.train_dataloader.batch_size = batch_size
        torch.manual_seed(0)
        record = recorded(train_from_config(config))
        return record.logs, record.weights

    return on_ranks(world_size, run, work_dir)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def train(data_root, work_dir, phases=PHASES, resume=False, **kwargs):
    """Train in this process; returns the runner."""
    config = toy.run_config(data_root, work_dir, phases, **kwargs)
    config.resume = resume
    runner = toy.build_runner(config)
    runner.train()
    return runner


def killed(data_root, work_dir, stage=None, images=0, **kwargs):
    """Train in a process of its own that kills itself; with ``stage``, in its label pass after so many images."""

    def run():
        if stage is not None:
            _die_in_label_pass(stage, images)
        train(data_root, work_dir, **kwargs)

    process = multiprocessing.get_context('fork').Process(target=run)
    process.start()
    process.join(120)
    if process.exitcode is None:
        process.kill()
    return process.exitcode == -signal.SIGKILL


def _die_in_label_pass(stage, images):
    from mmlabelpenet.datasets.label_writer import PseudoLabelWriter

    add, finish = PseudoLabelWriter.add, PseudoLabelWriter.finish

    def dying_add(self, *args):
        add(self, *args)
        if self.header['stage'] == stage and len(self.done) == images:
            with self.part.open('a') as file:
                file.write('{"img_id": "half a li')
            die()

    def dying_finish(self, *args):
        if self.header['stage'] == stage:
            die()
        return finish(self, *args)

    PseudoLabelWriter.add = dying_add
    if images is None:
        PseudoLabelWriter.finish = dying_finish


def count_labelled(monkeypatch):
    """Image ids that label passes really label from now on."""
    seen, real = [], LabelPass._label

    def label(self, runner, stage, model, remaining, writer):
        seen.extend((stage, self.dataset.get_data_info(i)['img_id']) for i in remaining)
        return real(self, runner, stage, model, remaining, writer)

    monkeypatch.setattr(LabelPass, '_label', label)
    return seen

"""Runs of the toy network, and runs that are killed."""

import multiprocessing
import os
import signal

import toy
from mmengine.hooks import Hook

from mmlabelpenet.engine.label_pass import LabelPass
from mmlabelpenet.registry import HOOKS

PHASES = [('classification', 3), ('detection', 3), ('refinement', 3), ('segmentation', 3), ('recurrent', 3)]


@HOOKS.register_module(force=True)
class KillAt(Hook):
    """The process dies in the middle of an iteration: after its update, before its checkpoint."""

    priority = 'VERY_HIGH'

    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if batch_idx == self.iteration:
            die()


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
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelWriter

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

    def label(self, runner, stage, model, dataset, remaining, writer):
        seen.extend((stage, dataset.get_data_info(i)['img_id']) for i in remaining)
        return real(self, runner, stage, model, dataset, remaining, writer)

    monkeypatch.setattr(LabelPass, '_label', label)
    return seen

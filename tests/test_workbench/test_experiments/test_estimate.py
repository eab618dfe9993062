"""Estimated duration of a schedule."""

import os
import time

import pytest
import torch
import toy

from mmlabelpenet.workbench.experiments import estimate as module
from mmlabelpenet.workbench.experiments.estimate import Step, estimate

PHASES = [('classification', 30), ('detection', 20), ('refinement', 10), ('segmentation', 10), ('recurrent', 5)]
CPU = torch.device('cpu')


@pytest.fixture
def steps(toy_root, tmp_path):
    return list(estimate(toy.run_config(toy_root, tmp_path, PHASES), CPU, iters=1))


def test_steps_follow_the_schedule_with_a_label_pass_before_each_later_stage(steps):
    expected = [('classification', 30)]
    for (teacher, _), phase in zip(PHASES[:3], PHASES[1:4]):
        expected += [(f'labels of {teacher}', 6), phase]
    assert [(step.name, step.times) for step in steps] == [*expected, ('recurrent', 5)]
    assert all(step.seconds > 0 and step.memory > 1e7 and step.total == step.times * step.seconds for step in steps)


def test_phases_and_label_passes_can_be_measured_one_without_the_other(toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, PHASES[:2])
    kinds = (module.PHASES, module.LABEL_PASSES)
    phases, labels = ([step.name for step in estimate(config, CPU, iters=1, measured=[kind])] for kind in kinds)
    assert phases == ['classification', 'detection'] and labels == ['labels of classification']


def test_parts_say_where_the_time_goes_and_add_up(steps):
    detection, labels, recurrent = steps[2], steps[3], steps[-1]
    assert {'loading', 'backbone', 'detection', 'update'} <= detection.parts.keys()
    assert {'loading', 'network', 'crf'} == labels.parts.keys()
    assert {'labels', 'crf', *toy.STAGES} <= recurrent.parts.keys()
    assert detection.seconds == pytest.approx(sum(detection.parts.values()))
    assert 0.9 < sum(share for _, share in detection.shares()) <= 1.0001


def test_workers_hide_what_they_do_beside_the_network():
    parts = dict(loading=3.0, update=2.0)
    found = [module._beside(parts, ['loading'], workers) for workers in (0, 1, 2)]
    assert found == [(5.0, pytest.approx(0.6)), (3.0, pytest.approx(1 / 3)), (2.0, 0.0)]


@pytest.mark.parametrize(('workers', 'cores', 'sharers'), [(0, 4, 1), (2, 4, 2), (8, 4, 4)])
def test_processes_on_the_cpu_share_a_whole_label_pass(toy_root, tmp_path, monkeypatch, workers, cores, sharers):
    config, threads = toy.run_config(toy_root, tmp_path, PHASES[:2]), torch.get_num_threads()
    config.label_dataloader.num_workers = workers
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: set(range(cores)))
    (step,) = estimate(config, CPU, iters=1, measured=[module.LABEL_PASSES])
    assert step.seconds == pytest.approx(sum(step.parts.values()) / sharers) and torch.get_num_threads() == threads


def test_ranks_share_a_label_pass_and_send_their_gradients(toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, PHASES[:2])
    classification, labels, detection = estimate(config, CPU, ranks=4, iters=1, bandwidth=1e3)
    assert labels.times == 2
    for step in (classification, detection):
        trained = toy.build(toy.model_config()).stages[step.name].parameters()
        assert step.parts['gradients'] == pytest.approx(1.5 * 4 * sum(p.numel() for p in trained) / 1e3)
        assert step.seconds > step.parts['gradients']


def test_shares_below_one_percent_are_left_out():
    assert Step('x', 1, 1.0, dict(a=0.995, b=0.005)).shares() == [('a', 0.995)]


@pytest.mark.slow
def test_the_estimate_is_within_fifteen_percent_of_a_real_run(toy_root, tmp_path, monkeypatch):
    """In CPU time, which is that of the clock where nothing else runs: all is in this process.

    With 16 images a batch, an iteration takes about as long as one of the smallest real network; hooks and what else comes once an
    iteration are not in the estimate.
    """
    monkeypatch.setattr(time, 'perf_counter', time.process_time)
    phases = [('classification', 15), ('detection', 15), ('refinement', 15), ('segmentation', 15), ('recurrent', 10)]
    config = toy.run_config(toy_root, tmp_path, phases, interval=1000)
    config.train_dataloader.batch_size = 16
    predicted = sum(step.total for step in estimate(config, CPU, iters=6))
    runner = toy.build_runner(config)
    begin = time.process_time()
    runner.train()
    assert predicted == pytest.approx(time.process_time() - begin, rel=0.15)

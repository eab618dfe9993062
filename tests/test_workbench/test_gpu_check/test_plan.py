"""Choosing the training, and the tests after it, that fit into the time."""

import time

import pytest
import toy

from mmlabelpenet.apis import train
from mmlabelpenet.apis.config import build_dataset, last_checkpoint, phase_lengths
from mmlabelpenet.apis.test import test as score
from mmlabelpenet.models import LabelPENet
from mmlabelpenet.workbench.experiments.estimate import Step
from mmlabelpenet.workbench.gpu_check import plan
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

PHASES = [('classification', 100), ('detection', 300)]
STEPS = [Step('classification', 100, 1.0), Step('labels of classification', 50, 1.0), Step('detection', 300, 1.0)]


@pytest.fixture
def notes(tmp_path):
    return Notebook(tmp_path / 'found.json')


@pytest.fixture
def config(toy_root, tmp_path):
    """The toy network's, with tests on two images."""
    config = toy.run_config(toy_root, tmp_path / 'run', PHASES, interval=1000, stages=toy.STAGES[:2])
    dataset = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
    config.test_evaluator = dict(type='StageMetric', data_root=str(toy_root), split='test', mask_classes=dataset['metainfo']['classes'])
    config.test_cfg = dict(type='TestLoop')
    return config


def test_phases_are_shortened_by_one_factor_and_images_left_out_so_that_tests_have_time(config, notes):
    def shortened(seconds):
        return plan.shortened(config, STEPS, seconds, 50, notes)

    assert shortened(1e6) == (50, {'classification': 100, 'detection': 300})
    assert shortened((200 + 50) / plan.TRAINING) == (50, {'classification': 50, 'detection': 150})
    assert shortened(100) == (20, {'classification': 6, 'detection': 18})  # labels 20 s, iterations 24, tests the rest
    assert not notes.findings.problems
    assert shortened(5)[0] == plan.FEWEST and notes.findings.problems[0].startswith('Labels of 4 images take about 4 s of 5 s')


def test_a_training_without_label_passes_keeps_its_images(config, notes):
    assert plan.shortened(config, [STEPS[0], STEPS[2]], 10, 50, notes)[0] == 50


def test_images_are_taken_at_random_until_the_time_is_over():
    sampler = plan.TimedSampler(range(6), until=time.monotonic() + 60)
    assert sorted(sampler) == list(range(6)) != list(sampler) == list(sampler)
    images = iter(sampler)
    next(images)
    sampler.until = 0.0
    assert list(images) == []


def test_on_the_cpu_few_images_take_part_in_one_iteration_of_each_phase(config, notes):
    plan.fit(config, Settings('cpu', '', end=time.monotonic() + 60), notes)
    assert phase_lengths(config) == {'classification': 1, 'detection': 1}
    assert [len(build_dataset(config, loader)) for loader in ('train', 'label', 'test')] == [4, 4, 2]
    assert build_dataset(config, 'label').image_ids == [f'train_{number:05}' for number in (0, 1, 3, 4)]
    assert notes.findings.facts['images trained on'] == '4 of 6'


@pytest.mark.slow
def test_metrics_come_in_time_though_training_and_testing_are_slower_than_expected(config, notes, monkeypatch):
    estimates = [Step(step.name, step.times, 0.001) for step in STEPS]
    monkeypatch.setattr(plan, 'estimate', lambda *args, **kwargs: estimates)
    monkeypatch.setattr(plan, 'AFTER', 30.0)  # the time for tests is over before training ends
    for name, seconds in (('loss', 0.3), ('predict', 3.0)):  # all iterations would take 120 s
        monkeypatch.setattr(LabelPENet, name, slower(getattr(LabelPENet, name), seconds))
    settings = Settings('cuda', '', end=time.monotonic() + 60)
    plan.fit(config, settings, notes)
    assert phase_lengths(config) == {'classification': 100, 'detection': 300}
    runner = train(config)
    assert [hook.first is not None for hook in runner.hooks if isinstance(hook, plan.StopTraining)] == [True]
    meta = score(config, last_checkpoint(config))['meta']
    assert settings.left() > 0
    assert (meta['test']['images'], meta['test']['images_in_split']) == (1, 2)


def slower(function, seconds):
    """The function, which now takes some seconds more."""

    def run(*args, **kwargs):
        time.sleep(seconds)
        return function(*args, **kwargs)

    return run

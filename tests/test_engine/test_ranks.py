"""Several ranks are equivalent to one rank with gradient accumulation; gloo, on the CPU."""

import json
import signal
import time

import pytest
import torch
import toy
from training import PHASES, on_ranks, recorded, train, train_on_ranks

from mmlabelpenet import apis
from mmlabelpenet.engine import loops
from mmlabelpenet.models.label_penet import LabelPENet


@pytest.fixture(scope='module')
def ranks(toy_root, tmp_path_factory):
    """Work dir of two ranks, and what they recorded."""
    folder = tmp_path_factory.mktemp('ranks')
    return folder, train_on_ranks(2, toy_root, folder)[0]


@pytest.fixture(scope='module')
def alone(toy_root, tmp_path_factory):
    """One rank that accumulates two batches."""
    folder = tmp_path_factory.mktemp('alone')
    config = toy.run_config(toy_root, folder, PHASES, hooks=[dict(type='Record')])
    config.optim_wrapper.accumulative_counts = 2
    config.train_dataloader.batch_size = 1
    runner = toy.build_runner(config)
    runner.train()
    return folder, recorded(runner)


def test_parameters_are_identical_on_all_ranks_after_every_phase(ranks):
    (_, first), (_, second) = ranks[1]
    assert len(first) == len(second) == len(PHASES)
    for mine, theirs in zip(first, second, strict=True):
        assert toy.different(mine, theirs) == []
    assert all(toy.different(a, b) for a, b in zip(first, first[1:], strict=False))


def test_the_curve_of_two_ranks_is_that_of_one_rank_with_accumulation(ranks, alone):
    shared = [logs for logs, _ in ranks[1]]
    assert len(shared[0]) == len(alone[1].logs) == sum(iters for _, iters in PHASES)
    for iteration, one in enumerate(alone[1].logs):
        for key, value in one.items():
            both = sum(logs[iteration][key] for logs in shared) / 2
            assert both == pytest.approx(value, abs=1e-4, rel=1e-4), (iteration, key)
    for mine, theirs in zip(ranks[1][0][1], alone[1].weights, strict=True):
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=1e-3, msg=name)


def test_each_image_is_labelled_once_and_the_ranks_labels_are_merged(ranks, alone):
    for stage in toy.STAGES[:3]:
        mine, theirs = (json.loads((folder / f'pseudo_labels/{stage}.json').read_text()) for folder in (ranks[0], alone[0]))
        assert [image['img_id'] for image in mine['images']] == [image['img_id'] for image in theirs['images']]
        assert len(mine['images']) == 6 and len(mine['annotations']) == len(theirs['annotations'])
        assert not list((ranks[0] / 'pseudo_labels').glob('*.part*'))


def test_an_update_takes_all_accumulated_batches_and_a_recurrent_iteration_makes_two(toy_root, tmp_path, monkeypatch):
    steps, losses = [], []
    step, loss = torch.optim.SGD.step, LabelPENet.loss
    monkeypatch.setattr(torch.optim.SGD, 'step', lambda self, *args, **kwargs: steps.append(1) or step(self, *args, **kwargs))
    monkeypatch.setattr(LabelPENet, 'loss', lambda self, *args, trains, **more: losses.append(trains) or loss(self, *args, trains, **more))
    config = toy.run_config(toy_root, tmp_path, [('classification', 3), ('recurrent', 2)])
    config.optim_wrapper.accumulative_counts = 3
    config.param_scheduler = [dict(type='LinearLR', by_epoch=False, start_factor=0.1, begin=0, end=5)]
    runner = toy.build_runner(config)
    runner.train()
    assert len(steps) == 3 + 2 * 2 and losses == ['classification'] * 9 + (['forward'] * 3 + ['backward'] * 3) * 2
    assert runner.iter == 5 and runner.optim_wrapper.get_lr()['lr'] == [0.01]  # warmed up: the schedule counts iterations


@pytest.mark.parametrize('iteration', [pytest.param(3, marks=pytest.mark.slow), 5])
def test_a_run_that_accumulates_resumes_with_the_same_bits(toy_root, tmp_path, monkeypatch, iteration):
    said = []
    monkeypatch.setattr(loops, 'print_log', lambda message, *_, **__: said.append(message[:15]))

    def run(work_dir, resume=False, **kwargs):
        config = toy.run_config(toy_root, work_dir, [('classification', 3), ('recurrent', 3)], interval=1, **kwargs)
        config.optim_wrapper.accumulative_counts = 2
        config.resume = resume
        if resume:
            config.load_from = f'{tmp_path}/whole/iter_{iteration}.pth'
        config.default_hooks.checkpoint.max_keep_ckpts = -1
        runner = toy.build_runner(config)
        runner.train()
        return toy.weights(runner.model)

    whole = run(tmp_path / 'whole')
    assert 'Ignore mmengine' not in said
    assert toy.different(whole, run(tmp_path / 'again', resume=True)) == []
    assert said.count('Ignore mmengine') == 1


def test_one_wrapped_rank_is_a_plain_run(toy_root, tmp_path):
    phases = [('classification', 2), ('detection', 2)]
    ((logs, weights),), _ = train_on_ranks(1, toy_root, tmp_path / 'wrapped', phases=phases, batch_size=2)
    runner = train(toy_root, tmp_path / 'plain', phases=phases, hooks=[dict(type='Record')])
    assert toy.different(weights[-1], recorded(runner).weights[-1]) == [] and logs == recorded(runner).logs


@pytest.mark.parametrize('died', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_a_rank_dies_the_other_stops_with_an_error(toy_root, tmp_path, died):
    start = time.monotonic()
    hooks = [dict(type='KillAt', iteration=4, rank=died)]
    _, codes = train_on_ranks(2, toy_root, tmp_path, phases=[('classification', 3), ('detection', 9)], hooks=hooks)
    assert codes[died] == -signal.SIGKILL and codes[1 - died] == 1
    assert time.monotonic() - start < 60


def test_metrics_of_several_ranks_are_those_of_one(toy_root, tmp_path):
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict=toy.build(toy.model_config(), seed=2).state_dict()), path)

    def scores(work_dir, launcher='none'):
        config = toy.run_config(toy_root, work_dir, [('classification', 1)])
        config.launcher = launcher
        config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
        dataset = toy.dataset_config(toy_root, 'train', train=False, keep_untagged=True, test_mode=True)
        config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
        classes = dataset['metainfo']['classes']
        config.test_evaluator = dict(type='StageMetric', data_root=str(toy_root), split='train', mask_classes=classes)
        config.test_cfg = dict(type='TestLoop')
        return {key: value for key, value in apis.test(config, path).items() if key != 'meta'}

    expected = scores(tmp_path / 'alone')
    (first, *others), codes = on_ranks(4, lambda rank: scores(tmp_path / 'ranks', 'pytorch'), tmp_path / 'ranks')  # 6 images: two twice
    assert codes == [0] * 4 and first == expected and expected['segmentation']['mIoU'] > 0
    assert others == [{}] * 3

"""Runs resumed under changed conditions: changes are reported, and what must not change does not."""

import functools
import json
import shutil
from types import SimpleNamespace

import pytest
import toy
from mmengine.config import Config
from mmengine.logging import MessageHub

from mmlabelpenet.apis import train
from mmlabelpenet.engine import resuming
from mmlabelpenet.engine.resuming import changed_keys


def config(root, work_dir, iters, **kwargs):
    return toy.run_config(root, work_dir, [('classification', iters)], stages=toy.STAGES[:1], **kwargs)


@pytest.fixture(scope='module')
def begun(toy_root, tmp_path_factory):
    """A function that continues a run of two iterations up to the fourth with a changed config: the runner and what it says."""

    @functools.cache
    def two_iterations(amp, begin):
        folder = tmp_path_factory.mktemp('begun')
        first = config(toy_root, folder, 2)
        begin(first)
        train(first, amp=amp)
        return folder

    def go_on(change, amp=(None, None), begin=bool):
        folder, said = tmp_path_factory.mktemp('run'), []
        shutil.copytree(two_iterations(amp[0], begin), folder, dirs_exist_ok=True)
        (folder / 'last_checkpoint').write_text(str(folder / 'iter_2.pth'))
        second = config(toy_root, folder, 4)
        change(second)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resuming, 'warn', said.append)
            return train(second, resume='auto', amp=amp[1]), said

    return go_on


def changed(key, value):
    return lambda config: config.merge_from_dict({key: value})


def test_a_longer_phase_is_the_only_change_that_is_said(begun):
    _, said = begun(lambda config: None)
    assert said == [
        'The config has changed since the checkpoint was written, and the new values are used: '
        'train_cfg.phases.classification.iters (2 -> 4).'
    ]


def test_other_ranks_or_batches_move_the_position_in_the_data(begun):
    _, said = begun(changed('train_dataloader.batch_size', 3))
    assert said[0].startswith('An iteration had 1 ranks x 1 batches x 2 images, and now has 1 ranks x 1 batches x 3 images. The position')


@pytest.mark.parametrize(('number', 'end'), [(8, 'k7 (0 -> 1).'), (9, 'k7 (0 -> 1) and 1 more.')])
def test_eight_changes_are_named_and_the_others_counted(begun_with, number, end):
    said = begun_with({f'k{k}': 0 for k in range(number)}, {f'k{k}': 1 for k in range(number)})
    assert len(said) == 1 and said[0].endswith(end)


def test_another_number_of_ranks_is_said(begun_with, monkeypatch):
    (text,) = begun_with({}, {}, ranks=(2, 4))
    assert 'had 2 ranks x 1 batches x 3 images, and now has 4 ranks x 1 batches x 3 images' in text


@pytest.fixture
def begun_with(monkeypatch):
    """A function that compares a run of one config with a checkpoint of another: what it says."""

    def compare(before, now, ranks=(1, 1)):
        hub, said = MessageHub('compared'), []
        monkeypatch.setattr(resuming.MessageHub, 'get_current_instance', lambda: hub)
        monkeypatch.setattr(resuming, 'warn', said.append)
        loader = SimpleNamespace(batch_size=3, sampler=SimpleNamespace(seed=1), dataset=SimpleNamespace(inputs=dict))
        for settings, count in zip((before, now), ranks, strict=True):
            monkeypatch.setattr(resuming, 'get_world_size', lambda count=count: count)
            resuming.compare_run(Config(settings), loader, 1)
        return said

    return compare


def test_a_setting_of_the_optimizer_counts_from_the_checkpoint_on_and_is_said(begun):
    runner, said = begun(changed('optim_wrapper.optimizer.weight_decay', 0.5))
    assert [group['weight_decay'] for group in runner.optim_wrapper.param_groups] == [0.5]
    assert 'optim_wrapper.optimizer.weight_decay (0.005 -> 0.5)' in said[0]


def test_a_checkpoint_of_another_optimizer_is_refused_in_one_line(begun):
    with pytest.raises(ValueError, match='written with another optimizer.*momentum.*AdamW of the config 1 with betas'):
        begun(changed('optim_wrapper.optimizer', dict(type='AdamW', lr=0.01, _delete_=True)))


def test_without_a_seed_the_draws_go_on_with_that_of_the_first_start(begun):
    def forget(config):
        config.pop('randomness')

    runner, said = begun(forget, begin=forget)
    seeds = runner.train_loop.dataloader.sampler.seed, runner.seed
    assert seeds[0] == seeds[1] and not any('seed' in text for text in said)


def test_another_seed_does_not_count_in_a_run_that_goes_on_and_one_line_says_so(begun):
    runner, said = begun(changed('randomness.seed', 7))
    assert runner.train_loop.dataloader.sampler.seed == runner.seed == 3
    assert 'The run continues with its original seed 3, not with 7.' in said


@pytest.mark.parametrize(
    ('key', 'value', 'named', 'moves'),
    [('indices', 4, 'images, tags, proposals', True), ('max_proposals', 3, 'max_proposals', False), ('tags', None, 'tags', False)],
)
def test_a_training_set_that_has_changed_is_named(begun, toy_root, tmp_path, key, value, named, moves):
    if key == 'tags':  # the file has another name, too
        names = (toy_root / 'ImageSets/Main/train.txt').read_text().split()
        value = tmp_path / 'tags.json'
        value.write_text(json.dumps({name: ['lolly', 'tree'] for name in names}))
    _, said = begun(changed(f'train_dataloader.dataset.{key}', str(value) if key == 'tags' else value))
    assert f'The training set has changed since the checkpoint was written: its {named}.' in said[-1]
    assert ('repeated or skipped' in said[-1]) == moves


@pytest.mark.parametrize('amp', [('bf16', 'fp16'), ('fp16', 'bf16'), (None, 'fp16'), ('fp16', None)])
def test_a_run_goes_on_in_another_precision_and_says_so(begun, amp):
    runner, said = begun(lambda config: None, amp)
    assert runner.iter == 4 and 'optim_wrapper.' in said[0]


def test_many_changes_are_counted():
    before, now = (dict(a=[dict(b=number, c=[1, 2])] * 2, d=number) for number in (1, 2))
    assert list(changed_keys(before, now)) == ['a.0.b (1 -> 2)', 'a.1.b (1 -> 2)', 'd (1 -> 2)']
    assert list(changed_keys([1], [1, 2], 'a')) == ['a ([1] -> [1, 2])']
    assert list(changed_keys(dict(a=1), {})) == ['a (1 -> absent)']

"""Checkpoints under kills and full disks."""

import errno
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.fileio import get_file_backend
from mmengine.hooks import Hook
from training import killed, train

from mmlabelpenet.engine.hooks import atomic_checkpoint
from mmlabelpenet.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from mmlabelpenet.registry import HOOKS


def content(seed):
    buffer = io.BytesIO()
    torch.save(torch.arange(seed), buffer)
    return buffer.getvalue()


def test_a_file_is_there_whole_or_as_it_was(tmp_path, monkeypatch):
    backend, path = get_file_backend(backend_args=dict(backend='atomic')), tmp_path / 'iter_1.pth'
    backend.put(content(3), path)
    assert torch.load(path).tolist() == [0, 1, 2]

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space'):
        backend.put(content(5), path)
    assert torch.load(path).tolist() == [0, 1, 2] and [p.name for p in tmp_path.iterdir()] == ['iter_1.pth']


def test_a_training_that_cannot_write_says_where_and_what_to_do(toy_root, tmp_path, monkeypatch):
    runner = toy.build_runner(toy.run_config(toy_root, tmp_path, [('classification', 6)]))
    real, written = atomic_checkpoint.atomic_write, []

    def full_after_the_first(path, mode):
        if written:
            raise OSError(errno.ENOSPC, 'No space left on device')
        written.append(path)
        return real(path, mode)

    monkeypatch.setattr(atomic_checkpoint, 'atomic_write', full_after_the_first)
    with pytest.raises(OSError, match='after iteration 4 cannot be written .*No space left.*--resume') as error:
        runner.train()
    assert error.value.errno == errno.ENOSPC and [p.name for p in tmp_path.glob('*.pth')] == ['iter_2.pth']


class FolderThatChanges(type(Path())):
    """A folder of which another process removes files that it lists."""

    def glob(self, pattern):
        return [self / '.iter_9.pth.4567.partial', *super().glob(pattern)]


@pytest.mark.parametrize('first', [True, False])
def test_what_a_killed_run_had_half_written_is_removed_by_the_first_rank(toy_root, tmp_path, monkeypatch, first):
    stale = tmp_path / '.iter_4.pth.0123.partial'
    stale.write_bytes(b'half')
    monkeypatch.setattr(atomic_checkpoint, 'is_main_process', lambda: first)
    monkeypatch.setattr(atomic_checkpoint, 'Path', FolderThatChanges)
    toy.build_runner(toy.run_config(toy_root, tmp_path, [('classification', 2)])).train()
    assert stale.exists() != first and (tmp_path / 'iter_2.pth').exists()


def test_one_checkpoint_to_fall_back_on_is_kept():
    with pytest.raises(ValueError, match='at least two checkpoints'):
        AtomicCheckpointHook(interval=1, max_keep_ckpts=1)
    with pytest.raises(ValueError, match='at least two checkpoints'):
        AtomicCheckpointHook(interval=1, max_keep_ckpts=0)
    for number in (-1, 2):
        AtomicCheckpointHook(interval=1, max_keep_ckpts=number)
    with pytest.raises(ValueError, match='minutes between checkpoints must be above 0, got 0'):
        AtomicCheckpointHook(interval=1, minutes=0)


@pytest.mark.parametrize(('minutes', 'expected'), [(None, {3, 7}), (2, {3, 5, 7})])
def test_a_checkpoint_is_written_at_the_end_of_each_phase_and_by_the_clock(toy_root, tmp_path, monkeypatch, minutes, expected):
    @HOOKS.register_module(name='AMinuteEach', force=True)
    class AMinuteEach(Hook):
        def before_train_iter(self, runner, **kwargs):
            monkeypatch.setattr(atomic_checkpoint, 'time', SimpleNamespace(monotonic=lambda: 60 * runner.iter))

    monkeypatch.setattr(atomic_checkpoint, 'time', SimpleNamespace(monotonic=lambda: 0))
    phases = [('classification', 3), ('detection', 4)]
    config = toy.run_config(toy_root, tmp_path, phases, interval=100, hooks=[dict(type='AMinuteEach')])
    config.default_hooks.checkpoint.update(minutes=minutes, max_keep_ckpts=-1)
    toy.build_runner(config).train()
    assert {int(path.stem.removeprefix('iter_')) for path in tmp_path.glob('iter_*.pth')} == expected


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_not_saved(toy_root, tmp_path, value):
    @HOOKS.register_module(name='Spoil', force=True)
    class Spoil(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner, batch_idx, **kwargs):
            if batch_idx == 3:
                runner.model.backbone.first.weight.data.view(-1)[0] = value

    config = toy.run_config(toy_root, tmp_path, [('classification', 4)], interval=2, hooks=[dict(type='Spoil')])
    message = (
        r'Iteration 3 of phase classification: the weights after iteration 4 are not finite \(1 tensor, the first is backbone.*--resume'
    )
    with pytest.raises(FloatingPointError, match=message):
        toy.build_runner(config).train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_2.pth']


def test_two_checkpoints_are_kept_and_the_clock_goes_forward():
    assert AtomicCheckpointHook(interval=1).max_keep_ckpts == 2 and AtomicCheckpointHook(interval=1).minutes == 10
    with pytest.raises(ValueError, match='minutes between checkpoints must be above 0'):
        AtomicCheckpointHook(interval=1, minutes=0)


def test_resuming_says_nothing_of_keys_that_are_not_there(toy_root, tmp_path, monkeypatch):
    phases, said = [('classification', 2), ('detection', 4)], []
    assert killed(toy_root, tmp_path, phases=phases, hooks=[dict(type='KillAt', iteration=4)])
    monkeypatch.setattr('mmengine.logging.message_hub.print_log', lambda message, **kwargs: said.append(message))
    assert train(toy_root, tmp_path, phases=phases, resume=True).iter == 6 and said == []


@pytest.mark.parametrize(('now', 'due'), [(1119.9, False), (1120, True)])
def test_a_checkpoint_is_due_when_the_last_one_is_as_old_as_that(monkeypatch, now, due):
    hook, runner = AtomicCheckpointHook(minutes=2), SimpleNamespace(train_loop=SimpleNamespace(phases=()), iter=0)
    hook._written = 1000
    monkeypatch.setattr(atomic_checkpoint.time, 'monotonic', lambda: now)
    assert hook.every_n_train_iters(runner, 100) is due

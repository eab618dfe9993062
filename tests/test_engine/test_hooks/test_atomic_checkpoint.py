"""Checkpoints under kills and full disks."""

import errno
import io

import pytest
import torch
import toy
from mmengine.fileio import get_file_backend

from mmlabelpenet.engine.hooks import atomic_checkpoint
from mmlabelpenet.engine.hooks.atomic_checkpoint import AtomicCheckpointHook


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


def test_what_a_killed_run_had_half_written_is_removed(toy_root, tmp_path):
    stale = tmp_path / '.iter_4.pth.0123.partial'
    stale.write_bytes(b'half')
    toy.build_runner(toy.run_config(toy_root, tmp_path, [('classification', 2)])).train()
    assert not stale.exists() and (tmp_path / 'iter_2.pth').exists()


def test_one_checkpoint_to_fall_back_on_is_kept():
    with pytest.raises(ValueError, match='at least two checkpoints'):
        AtomicCheckpointHook(interval=1, max_keep_ckpts=1)
    AtomicCheckpointHook(interval=1, max_keep_ckpts=-1)

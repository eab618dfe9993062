"""Tensor files are data: no reader executes code referenced in any of these containers."""

import io
import os
import pickle
import resource
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
import toy
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint

from mmlabelpenet.apis.checkpoint import load_strictly, read_checkpoint
from mmlabelpenet.apis.published import describe, publish, to_state_dict
from mmlabelpenet.apis.train import train
from mmlabelpenet.models.weights import ImageNetWeights
from mmlabelpenet.tensor_files import SAFE, read_tensors, save_tensors


class Attribute:
    """Unpickling this object looks up an attribute of a class."""

    def __init__(self, owner, name):
        self.arguments = owner, name

    def __reduce__(self):
        return getattr, self.arguments


class Harmful:
    """Normal unpickling of this object creates a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def as_zip(content, path):
    torch.save(content, path)


def as_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_pickle(content, path):
    path.write_bytes(pickle.dumps(content))


def as_tar(content, path):
    with tarfile.open(path, 'w') as archive:
        for name in ('storages', 'tensors', 'pickle'):
            member = tarfile.TarInfo(name)
            data = pickle.dumps(content, protocol=2)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def as_script(content, path):
    """A TorchScript archive whose own data is replaced."""
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in members.items():
            archive.writestr(name, pickle.dumps(content, protocol=2) if name.endswith('data.pkl') else data)


CONTAINERS = (as_zip, as_legacy, as_pickle, as_tar, as_script)
READERS = dict(
    read_tensors=read_tensors,
    read_checkpoint=read_checkpoint,
    describe=describe,
    publish=lambda path: publish(path, path.parent),
    to_state_dict=lambda path: to_state_dict(path, path.with_name('state.pth')),
    load_strictly=lambda path: load_strictly(torch.nn.Linear(2, 2), path),
    mmengine=lambda path: load_checkpoint(torch.nn.Linear(2, 2), str(path)),
    imagenet=lambda path: ImageNetWeights('resnet50', 'torchvision', 'backbone', str(path))(torch.nn.Linear(2, 2)),
)


@pytest.mark.parametrize('container', CONTAINERS)
@pytest.mark.parametrize('reader', READERS.values(), ids=READERS)
def test_a_file_that_asks_for_code_is_refused_in_one_line_and_runs_nothing(tmp_path, container, reader):
    path = tmp_path / 'downloaded.pth'
    container(dict(state_dict=dict(weight=torch.ones(2, 2), bias=torch.ones(2)), extra=Harmful(tmp_path / 'made')), path)
    with pytest.raises(ValueError, match='downloaded.pth cannot be read as a checkpoint') as error:
        reader(path)
    assert '\n' not in str(error.value) and 'weights_only` set' not in str(error.value)
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize('key', ['resume', 'load_from', 'init_cfg'])
def test_training_runs_no_code_of_a_checkpoint(toy_root, tmp_path, key):
    torch.save(dict(state_dict=dict(a=torch.ones(1)), meta=dict(iter=1), extra=Harmful(tmp_path / 'made')), tmp_path / 'downloaded.pth')
    config = toy.run_config(toy_root, tmp_path / 'run', [('classification', 1)])
    if key == 'load_from':
        config.load_from = str(tmp_path / 'downloaded.pth')
    if key == 'init_cfg':
        config.model.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'downloaded.pth'))
    with pytest.raises(ValueError, match='downloaded.pth cannot be read .*posix.mkdir, which is not data'):
        train(config, resume=str(tmp_path / 'downloaded.pth') if key == 'resume' else None)
    assert not (tmp_path / 'made').exists()


def test_a_config_text_in_a_checkpoint_is_not_run_when_mmengine_resumes_from_it(toy_root, tmp_path):
    toy.build_runner(toy.run_config(toy_root, tmp_path / 'first', [('classification', 1)])).train()
    content = read_tensors(tmp_path / 'first/iter_1.pth')
    content['meta']['config'] = f'import os\nos.mkdir({str(tmp_path / "made")!r})'
    torch.save(content, tmp_path / 'downloaded.pth')
    train(toy.run_config(toy_root, tmp_path / 'second', [('classification', 2)]), resume=str(tmp_path / 'downloaded.pth'))
    assert not (tmp_path / 'made').exists() and (tmp_path / 'second/iter_2.pth').is_file()


def test_what_mmengine_stores_is_read_unchanged(tmp_path):
    buffer = HistoryBuffer([1.0, 2.5], [1, 3])
    content = dict(message_hub=dict(log_scalars={'train/loss': buffer}), meta=dict(rate=np.float64(0.5), seed=3), list=[(1, 'ä', None)])
    torch.save(content, tmp_path / 'a.pth')
    found = read_tensors(tmp_path / 'a.pth')
    assert found['meta'] == content['meta'] and found['list'] == content['list']
    read = found['message_hub']['log_scalars']['train/loss']
    assert [values.tolist() for values in read.data] == [[1.0, 2.5], [1, 3]] and read.statistics('mean') == buffer.mean()


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__mro__'), (np.ndarray, 'tofile'), (dict, 'get')])
def test_no_attribute_but_the_statistics_of_a_log_buffer_can_be_asked_for(tmp_path, owner, name):
    torch.save(dict(a=Attribute(owner, name)), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='a.pth cannot be read .*, which is not data'):
        read_tensors(tmp_path / 'a.pth')


@pytest.mark.parametrize('core', ['core', '_core'])
def test_arrays_written_under_numpy_1_and_2_may_be_read(core):
    named = {item[1] for item in SAFE if isinstance(item, tuple)}
    assert {f'numpy.{core}.multiarray._reconstruct', f'numpy.{core}.multiarray.scalar'} <= named


@pytest.mark.parametrize(('kind', 'size'), [(zipfile.ZIP_DEFLATED, 10**7), (zipfile.ZIP_LZMA, 10**7), (zipfile.ZIP_DEFLATED, 10)])
def test_a_compressed_archive_is_refused_before_memory_is_taken(tmp_path, kind, size):
    torch.save(dict(a=torch.zeros(4)), tmp_path / 'small.pth')
    with zipfile.ZipFile(tmp_path / 'small.pth') as old, zipfile.ZipFile(tmp_path / 'a.pth', 'w', kind) as new:
        for name in old.namelist():
            new.writestr(name, bytes(size) if name.endswith('data/0') else old.read(name))
    with pytest.raises(ValueError, match=r'a.pth cannot be read .* claims \d+ bytes in a file of \d+, compressed'):
        read_tensors(tmp_path / 'a.pth')


def test_addresses_that_name_nothing_are_errors(tmp_path):
    with pytest.raises(ValueError, match="'torchvision://resnet49' does not name published weights"):
        read_tensors('torchvision://resnet49')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_tensors('s3://bucket/a.pth')


@pytest.mark.parametrize('kind', [torch.bool, torch.complex64, torch.int64])
@pytest.mark.parametrize('whole', [True, False])
def test_weights_that_are_not_real_numbers_are_refused_and_name_the_tensor(tmp_path, kind, whole):
    state = {name: value.to(kind) if name == 'weight' else value for name, value in torch.nn.Linear(2, 3).state_dict().items()}
    torch.save(dict(state_dict=state) if whole else state, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=f'weight.*{str(kind).removeprefix("torch.")}') as error:
        load_strictly(torch.nn.Linear(2, 3), tmp_path / 'a.pth')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', [torch.bool, torch.complex64])
def test_every_reader_of_mmengine_refuses_weights_that_are_not_real_numbers(tmp_path, kind):
    torch.save({name: value.to(kind) for name, value in torch.nn.Linear(2, 3).state_dict().items()}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match="The tensor 'weight' of .*a.pth is "):
        load_checkpoint(torch.nn.Linear(2, 3), str(tmp_path / 'a.pth'))


def test_an_archive_whose_members_would_begin_before_the_file_is_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
        archive.writestr('a', 'b')
    content = bytearray((tmp_path / 'a.pth').read_bytes())
    content[-6] += 10  # where the table of members begins
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(ValueError, match='a.pth cannot be read as a checkpoint'):
        read_tensors(tmp_path / 'a.pth')


@pytest.mark.parametrize('room', [0, 500, 4096, 40_000, 60_000, 79_000])
def test_a_disk_without_room_is_told_as_such_wherever_the_writing_breaks_off(tmp_path, room):
    (tmp_path / 'a.pth').write_bytes(b'old')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large'):
            save_tensors({'a': torch.ones(10_000), 'b': torch.ones(10_000)}, tmp_path / 'a.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'old']
    save_tensors({'a': torch.ones(2)}, tmp_path / 'a.pth')
    assert read_tensors(tmp_path / 'a.pth')['a'].tolist() == [1, 1]


def test_weights_at_an_address_are_downloaded_once(tmp_path, monkeypatch):
    weights, name = dict(weight=torch.arange(3.0)), 'weights-0123abcd.pth'
    asked = []

    def download(url, path, hash_prefix=None):
        asked.append((url, hash_prefix))
        torch.save(weights, path)

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for _ in range(2):
        assert torch.equal(read_tensors(f'https://example.org/models/{name}')['weight'], weights['weight'])
    assert asked == [(f'https://example.org/models/{name}', '0123abcd')] and (tmp_path / 'hub/checkpoints' / name).is_file()


def test_tensors_are_read_onto_the_device_that_is_asked_for(tmp_path):
    torch.save(dict(a=torch.ones(2)), tmp_path / 'a.pth')
    assert [read_tensors(tmp_path / 'a.pth', *where)['a'].device.type for where in ((), ('meta',))] == ['cpu', 'meta']


def test_nothing_is_warned_of_that_is_refused_anyway(tmp_path):
    as_script({}, tmp_path / 'a.pth')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with pytest.raises(ValueError, match='a.pth cannot be read'):
            read_tensors(tmp_path / 'a.pth')

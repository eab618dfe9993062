import os
import pickle

import pytest
import torch
from torch import nn

from mmlabelpenet.apis import checkpoint
from mmlabelpenet.apis.checkpoint import find_checkpoint, is_whole, load_strictly, read_checkpoint
from mmlabelpenet.files import file_hash


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_reading_a_checkpoint_gives_all_tensors_bit_for_bit(tmp_path):
    state = {**network().state_dict(), 'half': torch.rand(3).half(), 'whole': torch.arange(4), 'view': torch.arange(12.0).view(3, 4).T}
    torch.save({'state_dict': state, 'meta': {'seed': 5}}, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')
    assert read['meta'] == {'seed': 5}
    assert read['state_dict'].keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(read['state_dict'][name], value)
        assert read['state_dict'][name].dtype == value.dtype


def test_reading_a_bare_state_dict_works(tmp_path):
    torch.save(network().state_dict(), tmp_path / 'a.pth')
    assert len(read_checkpoint(tmp_path / 'a.pth')['state_dict']) == len(network().state_dict())


def test_reading_passes_over_the_log_buffers_of_mmengine(tmp_path):
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance('checkpoint_test')
    hub.update_scalar('train/loss', torch.tensor(1.0))
    torch.save({'state_dict': network().state_dict(), 'message_hub': hub.state_dict(), 'meta': {'iter': 7}}, tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['meta']['iter'] == 7


@pytest.mark.parametrize('content', [b'', b'no checkpoint', pickle.dumps([1, 2])])
def test_reading_another_file_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(ValueError, match='a.pth'):
        read_checkpoint(tmp_path / 'a.pth')


def test_reading_a_checkpoint_without_weights_is_an_error(tmp_path):
    torch.save({'meta': {}, 'state_dict': {}}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='no state dict'):
        read_checkpoint(tmp_path / 'a.pth')


def test_a_tensor_that_claims_more_numbers_than_it_stores_is_refused(tmp_path):
    torch.save({'state_dict': {'a': torch.ones(1).expand(10**9, 10**9)}}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='a.pth contains no state dict'):
        read_checkpoint(tmp_path / 'a.pth')


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='b.pth does not exist'):
        read_checkpoint(tmp_path / 'b.pth')


def test_loading_takes_over_every_tensor(tmp_path):
    source = network()
    with torch.no_grad():
        for value in source.state_dict().values():
            value.add_(1)
    torch.save({'state_dict': source.state_dict(), 'meta': {'seed': 1}}, tmp_path / 'a.pth')
    for given in (tmp_path / 'a.pth', read_checkpoint(tmp_path / 'a.pth')):
        target = network()
        assert load_strictly(target, given) == {'seed': 1}
        assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


def test_loading_from_another_model_says_what_differs_and_changes_nothing(tmp_path):
    state = dict(network().state_dict(), extra=torch.zeros(1))
    state['0.weight'] = torch.zeros(5, 3, 3, 3)
    del state['1.bias']
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    target = network()
    with pytest.raises(ValueError, match='another model') as error:
        load_strictly(target, tmp_path / 'a.pth')
    message = str(error.value)
    assert '1 missing (1.bias)' in message
    assert '1 unexpected (extra)' in message
    assert '0.weight float32 (5, 3, 3, 3) for float32 (4, 3, 3, 3)' in message
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in network().state_dict().items())


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc')
    assert file_hash(tmp_path / 'a') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


@pytest.fixture
def saved(tmp_path):
    """Three checkpoints, the last one noted as such."""
    for number in (1, 2, 10):
        path = tmp_path / f'iter_{number}.pth'
        torch.save(dict(state_dict=network().state_dict()), path)
        os.utime(path, (number, number))
    (tmp_path / 'last_checkpoint').write_text(f'/another/place/{path.name}')
    return tmp_path


def test_the_last_checkpoint_is_the_one_that_is_noted_else_the_newest(saved):
    assert find_checkpoint(saved).name == 'iter_10.pth'
    (saved / 'last_checkpoint').write_text('iter_2.pth')
    assert find_checkpoint(saved).name == 'iter_2.pth'
    for nothing in ('', '/pla'):  # cut short by a kill
        (saved / 'last_checkpoint').write_text(nothing)
        assert find_checkpoint(saved).name == 'iter_10.pth'


def test_checkpoints_of_schedules_in_epochs_are_found_too(tmp_path):
    for number in (9, 10):
        path = tmp_path / f'epoch_{number}.pth'
        torch.save(dict(state_dict=network().state_dict()), path)
        os.utime(path, (number, number))
    assert find_checkpoint(tmp_path).name == 'epoch_10.pth'


def test_without_checkpoints_there_is_none(tmp_path):
    assert find_checkpoint(tmp_path) is None and find_checkpoint(tmp_path / 'nowhere') is None


@pytest.mark.parametrize('damage', ['cut', 'empty', 'changed'])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(saved, monkeypatch, damage):
    said = []
    monkeypatch.setattr(checkpoint, 'warn', said.append)
    path = saved / 'iter_10.pth'
    content = path.read_bytes()
    middle = content.find(network().state_dict()['0.weight'].numpy().tobytes()[:16]) + 5
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes(dict(cut=content[: len(content) // 2], empty=b'', changed=changed)[damage])
    os.utime(path, (10, 10))
    assert not is_whole(path) and find_checkpoint(saved).name == 'iter_2.pth'
    assert len(said) == 1 and 'iter_10.pth is damaged' in said[0]


def test_nothing_but_damaged_checkpoints_is_an_error(saved):
    for number in (1, 2, 10):
        (saved / f'iter_{number}.pth').write_bytes(b'')
        os.utime(saved / f'iter_{number}.pth', (number, number))
    with pytest.raises(ValueError, match='All checkpoints .* are damaged: iter_10.pth, iter_2.pth, iter_1.pth'):
        find_checkpoint(saved)


@pytest.mark.parametrize('classes', [('dog', 'cat'), ('cat', 'dog', 'cow'), ('cat', 'fox')])
def test_a_checkpoint_of_other_classes_or_another_order_is_refused(tmp_path, classes):
    torch.save({'state_dict': network().state_dict(), 'meta': {'dataset_meta': {'classes': ('cat', 'dog')}}}, tmp_path / 'a.pth')
    load_strictly(network(), tmp_path / 'a.pth', classes=('cat', 'dog'))
    with pytest.raises(ValueError, match=f'a.pth was trained on the classes cat, dog, the config has {", ".join(classes)}'):
        load_strictly(network(), tmp_path / 'a.pth', classes=classes)


@pytest.mark.parametrize(
    'meta',
    [
        {'iter': 'x'},
        {'seed': [1]},
        {'cfg': 3},
        {'dataset_meta': [1]},
        {'dataset_meta': {'classes': 'cat'}},
        {'dataset_meta': {'classes': [1]}},
    ],
)
def test_a_malformed_meta_is_named(tmp_path, meta):
    torch.save({'state_dict': network().state_dict(), 'meta': meta}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='The meta of .*a.pth is malformed'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize('meta', [{}, {'dataset_meta': None}, {'dataset_meta': {'palette': []}}, {'unknown': {1: 2}}, None])
def test_a_checkpoint_that_names_no_classes_fits_any(tmp_path, meta):
    torch.save({'state_dict': network().state_dict(), 'meta': meta}, tmp_path / 'a.pth')
    load_strictly(network(), tmp_path / 'a.pth', classes=('x', 'y'))

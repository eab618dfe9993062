"""Published checkpoints."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config

from mmlabelpenet.apis.checkpoint import load_strictly, read_checkpoint
from mmlabelpenet.apis.inferencer import find_run
from mmlabelpenet.apis.published import describe, from_state_dict, phase_of, publish, to_state_dict, upgrade
from mmlabelpenet.apis.receipt import package_versions
from mmlabelpenet.apis.train import train
from mmlabelpenet.files import file_hash

TOOLS = Path(__file__).resolve().parents[2] / 'tools/model_converters'


@pytest.fixture(scope='module')
def trained(toy_root, tmp_path_factory):
    """Work dir of a run of two phases, its last checkpoint after the second iteration of the second phase."""
    work_dir = tmp_path_factory.mktemp('trained')
    train(toy.run_config(toy_root, work_dir, [('classification', 1), ('detection', 2)], interval=1))
    return work_dir / 'iter_3.pth'


@pytest.fixture(scope='module')
def published(trained, tmp_path_factory):
    return publish(trained, tmp_path_factory.mktemp('published'))


def tool(name):
    spec = importlib.util.spec_from_file_location(f'tool_{name}', TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_published_checkpoint_has_the_same_weights_and_nothing_to_resume_from(trained, published):
    before, after = read_checkpoint(trained)['state_dict'], torch.load(published, weights_only=True)
    assert toy.different(before, after['state_dict']) == []
    assert set(after) == {'state_dict', 'meta'} and published.stat().st_size < 0.7 * trained.stat().st_size


def test_its_name_is_its_hash_and_the_same_checkpoint_gives_the_same_file(trained, published, tmp_path):
    assert published.name == f'iter_3-{file_hash(published)[:8]}.pth'
    again = publish(trained, tmp_path)
    assert again.name == published.name and again.read_bytes() == published.read_bytes()
    assert list(tmp_path.iterdir()) == [again]


def test_it_says_what_it_rests_on(trained, published):
    meta = torch.load(published, weights_only=True)['meta']
    assert (meta['iter'], meta['seed'], meta['source_sha256']) == (3, 3, file_hash(trained))
    assert meta['versions'] == package_versions() and 'commit' in meta
    assert meta['dataset_meta']['classes'] == ('lolly', 'cone', 'tree', 'kite')
    config = Config.fromstring(meta['cfg'], '.py')
    assert list(config.train_cfg.phases) == ['classification', 'detection']


def test_it_loads_where_a_checkpoint_loads(trained, published):
    first, second = (toy.build(toy.model_config(), seed=seed) for seed in (1, 2))
    load_strictly(first, trained)
    meta = load_strictly(second, published)
    assert meta['iter'] == 3 and toy.different(toy.weights(first), toy.weights(second)) == []
    config, checkpoint = find_run(trained.parent, published)
    assert checkpoint == published and config.model.type == 'LabelPENet'


def test_some_stages_can_be_published_alone_in_half_precision(trained, tmp_path):
    whole, content = read_checkpoint(trained)['state_dict'], read_checkpoint(publish(trained, tmp_path, ['detection'], half=True))
    part = content['state_dict']
    assert content['meta']['stages'] == ('detection',)
    assert set(part) == {key for key in whole if key.startswith('stages.detection.') or not key.startswith('stages.')}
    layers = [key for key in part if whole[key].is_floating_point() and whole[key].ndim > 1]
    assert layers and all(part[key].dtype == torch.float16 for key in layers)
    assert toy.different(part, {key: whole[key].half() if key in layers else whole[key] for key in part}) == []


def test_a_stage_that_is_not_there_cannot_be_published(trained, tmp_path):
    with pytest.raises(ValueError, match="has no stage 'refining'. Expected some of classification, "):
        publish(trained, tmp_path, ['detection', 'refining'])


def test_a_tensor_that_looks_at_a_larger_one_is_written_alone(tmp_path):
    torch.save(dict(state_dict=dict(part=torch.rand(1000, 1000)[0])), tmp_path / 'iter_1.pth')
    assert publish(tmp_path / 'iter_1.pth', tmp_path).stat().st_size < 10_000


def test_equal_tensors_are_written_once(tmp_path):
    layer = torch.rand(100, 100)
    state = dict(one=layer, other=layer.clone(), shape=layer.clone().view(50, 200), count=torch.tensor(3), counted=torch.tensor(3))
    torch.save(dict(state_dict=state), tmp_path / 'iter_1.pth')
    path = publish(tmp_path / 'iter_1.pth', tmp_path)
    assert 80_000 < path.stat().st_size < 90_000 and toy.different(read_checkpoint(path)['state_dict'], state) == []


def test_a_plain_state_dict_and_back_gives_the_same_weights(trained, toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    to_state_dict(trained, tmp_path / 'state.pth')
    plain = torch.load(tmp_path / 'state.pth', weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in plain.values())
    before = config.to_dict()
    from_state_dict(tmp_path / 'state.pth', config, tmp_path / 'back.pth')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert toy.different(read_checkpoint(trained)['state_dict'], back['state_dict']) == []
    assert back['meta']['dataset_meta']['classes'] == ('lolly', 'cone', 'tree', 'kite') and config.to_dict() == before
    load_strictly(toy.build(toy.model_config(), seed=4), tmp_path / 'back.pth')


def test_tensors_of_another_model_become_no_checkpoint(toy_root, tmp_path):
    torch.save(toy.build(toy.model_config(toy.STAGES[:2])).state_dict(), tmp_path / 'short.pth')
    with pytest.raises(ValueError, match='another model .* missing'):
        from_state_dict(tmp_path / 'short.pth', toy.run_config(toy_root, tmp_path, [('classification', 1)]), tmp_path / 'back.pth')
    assert not (tmp_path / 'back.pth').exists()


def test_a_description_counts_every_number_once(trained, published):
    found, model = describe(trained), toy.build(toy.model_config())
    assert list(found['parts']) == ['backbone', *toy.STAGES]
    for name, part in found['parts'].items():
        module = model.backbone if name == 'backbone' else model.stages[name]
        values = list(module.state_dict().values())
        assert part == dict(
            tensors=len(values), parameters=sum(v.numel() for v in values), bytes=sum(v.numel() * v.element_size() for v in values)
        )
    assert found['other_bytes']['optimizer'] > 0 and describe(published)['other_bytes'] == {}
    assert found['bytes'] == trained.stat().st_size and found['sha256'] == file_hash(trained) and found['receipt'] == {}
    assert (found['iteration'], found['phase'], found['seed']) == (3, 'finished', 3)
    assert found['classes'] == ['lolly', 'cone', 'tree', 'kite']
    assert set(describe(published)['receipt']) == {'source_sha256', 'commit', 'versions'}
    json.dumps(found)


def test_the_phase_is_that_of_the_next_iteration(trained):
    assert [phase_of(describe(trained)['config'], number) for number in range(4)] == [
        'classification',
        'detection',
        'detection',
        'finished',
    ]
    assert phase_of('model = dict(a=1)', 3) is None


def test_a_config_that_calls_something_is_not_run(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(1)), meta=dict(iter=1, cfg=f"train_cfg=open('{tmp_path}/made', 'w')")), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='malformed'):
        describe(tmp_path / 'a.pth')
    assert not (tmp_path / 'made').exists()


def test_a_bare_state_dict_is_described_too(tmp_path):
    torch.save(toy.build(toy.model_config()).state_dict(), tmp_path / 'a.pth')
    found = describe(tmp_path / 'a.pth')
    assert list(found['parts']) == ['backbone', *toy.STAGES] and found['iteration'] is None and found['config'] is None


def test_the_commands_say_what_they_did(trained, published, tmp_path, capsys):
    tool('publish').main([str(trained), '--out', str(tmp_path)])
    assert published.name in capsys.readouterr().out
    tool('inspect_checkpoint').main([str(tmp_path / published.name)])
    out = capsys.readouterr().out
    assert 'iteration: 3, phase finished' in out and 'segmentation' in out and 'lolly, cone' in out and 'torch 2' in out
    tool('inspect_checkpoint').main([str(published), '--config'])
    (tmp_path / 'config.py').write_text(capsys.readouterr().out)
    tool('state_dict').main(['to', str(published), str(tmp_path / 'state.pth')])
    tool('state_dict').main(['from', str(tmp_path / 'state.pth'), str(tmp_path / 'back.pth'), '--config', str(tmp_path / 'config.py')])
    assert 'back.pth: a checkpoint of' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        tool('state_dict').main(['from', 'a', 'b'])


def test_a_checkpoint_of_version_0_1_is_refused_in_a_sentence_and_converted_by_the_tool(toy_net, tmp_path):
    state = {name.replace('.detector.', '.'): value for name, value in toy_net.state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'old.pth')
    with pytest.raises(ValueError, match=r'old\.pth is a checkpoint of version 0\.1.*state_dict\.py upgrade .*old\.pth NEW\.pth$'):
        load_strictly(toy_net, tmp_path / 'old.pth')
    assert upgrade(tmp_path / 'old.pth', tmp_path / 'new.pth').keys() == toy_net.state_dict().keys()
    load_strictly(toy_net, tmp_path / 'new.pth')

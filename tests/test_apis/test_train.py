"""Training from a config: the source of its weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.runner import Runner

from mmlabelpenet.apis.checkpoint import check_resumable, find_checkpoint
from mmlabelpenet.apis.config import load_config, recipe_hash
from mmlabelpenet.apis.train import check_checkpoint, scale_learning_rate, start_from, train
from mmlabelpenet.files import locked


@pytest.fixture(scope='module')
def first(toy_root, tmp_path_factory):
    """A run of four iterations, with a checkpoint after two."""
    return train(config(toy_root, tmp_path_factory.mktemp('first')))


def config(toy_root, work_dir, **model):
    return toy.run_config(toy_root, work_dir, [('classification', 4)], **model)


def test_a_run_goes_on_from_its_last_checkpoint_or_from_a_given_one(toy_root, tmp_path, first):
    expected = toy.weights(first.model)
    for resume, work_dir in ((f'{first.work_dir}/iter_2.pth', tmp_path), ('auto', first.work_dir)):
        (Path(first.work_dir) / 'last_checkpoint').write_text(f'{first.work_dir}/iter_2.pth')
        runner = train(config(toy_root, work_dir), resume=resume)
        assert runner.iter == 4 and toy.different(expected, toy.weights(runner.model)) == []


def test_a_run_whose_last_checkpoint_is_damaged_goes_on_from_the_one_before(toy_root, tmp_path, first):
    expected = toy.weights(train(config(toy_root, tmp_path)).model)
    (tmp_path / 'iter_4.pth').write_bytes((tmp_path / 'iter_4.pth').read_bytes()[:5000])
    runner = train(config(toy_root, tmp_path), resume='auto')
    assert runner._load_from.endswith('iter_2.pth') and runner.iter == 4
    assert toy.different(expected, toy.weights(runner.model)) == []


def test_the_learning_rate_follows_the_images_of_an_update(toy_root, tmp_path):
    cfg = config(toy_root, tmp_path)
    cfg.optim_wrapper.accumulative_counts, cfg.auto_scale_lr = 3, dict(enable=False, base_batch_size=4)
    cfg.param_scheduler = None
    runner = train(cfg, auto_scale_lr=True)  # one rank x 2 images x 3 batches
    assert runner.optim_wrapper.get_lr()['lr'] == pytest.approx([0.01 * 6 / 4])


def test_a_learning_rate_without_its_batch_size_cannot_be_scaled():
    with pytest.raises(ValueError, match='base_batch_size'):
        scale_learning_rate(Config(dict(optim_wrapper=dict())))


def test_event_files_for_tensorboard_are_asked_for(toy_root, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Runner, 'from_cfg', lambda config: asked.append(config.visualizer.vis_backends) or 1 / 0)
    cfg = config(toy_root, tmp_path)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    with pytest.raises(ZeroDivisionError):
        train(cfg, tensorboard=True)
    assert [backend.type for backend in asked[0]] == ['LocalVisBackend', 'TensorboardVisBackend']


def test_two_trainings_of_one_process_write_into_their_own_work_dirs(toy_root, tmp_path):
    shipped = load_config('configs/labelpenet/labelpenet_lite0_rendered.py')
    for name in ('one', 'two'):
        cfg = toy.run_config(toy_root, tmp_path / name, [('classification', 1)])
        cfg.update(experiment_name=name, visualizer=shipped.visualizer)
        train(cfg)
        assert len(list((tmp_path / name).glob('*/vis_data/config.py'))) == 1


def test_a_run_does_not_go_on_from_another_one_that_was_in_its_folder_before(toy_root, tmp_path):
    train(config(toy_root, tmp_path))
    shutil.copytree(tmp_path, kept := tmp_path.with_name('kept'))
    other = config(toy_root, tmp_path)
    other.randomness.seed, other.optim_wrapper.optimizer.lr = 5, 1e38
    with pytest.raises(FloatingPointError):  # before its first checkpoint
        train(other)
    assert find_checkpoint(tmp_path) is None and find_checkpoint(kept).name == 'iter_4.pth'
    other.optim_wrapper.optimizer.lr = 0.01
    runner = train(other, resume='auto')
    assert runner._load_from is None and find_checkpoint(tmp_path).name == 'iter_4.pth'
    again = train(config(toy_root, tmp_path), resume='auto')
    assert again._load_from.endswith('iter_4.pth') and toy.different(toy.weights(runner.model), toy.weights(again.model)) == []


def test_without_a_checkpoint_auto_starts_anew(toy_root, tmp_path):
    assert train(toy.run_config(toy_root, tmp_path, [('classification', 2)]), resume='auto').iter == 2


def test_resuming_a_run_without_a_checkpoint_begins_with_the_configs_weights(toy_root, tmp_path, first):
    cfg = config(toy_root, tmp_path)
    cfg.load_from = f'{first.work_dir}/iter_4.pth'
    start_from(cfg, 'auto')
    assert cfg.resume is False and cfg.load_from == f'{first.work_dir}/iter_4.pth'
    cfg.work_dir = first.work_dir
    start_from(cfg, 'auto')
    assert cfg.resume is True and cfg.load_from.startswith(first.work_dir)


def test_a_run_is_noted_in_its_work_dir(toy_root, first):
    noted = json.loads(Path(first.work_dir, 'run.json').read_text())
    cfg = config(toy_root, 'elsewhere')
    assert noted == dict(config=cfg.filename, recipe_sha256=recipe_hash(cfg), seed=cfg.randomness.seed, earlier={}, runs=noted['runs'])
    assert noted['runs'][0] == first.timestamp


def test_links_in_a_work_dir_lead_to_no_file_that_is_written(toy_root, tmp_path):
    (tmp_path / 'run').mkdir()
    cfg = config(toy_root, tmp_path / 'run')
    cfg.dump(tmp_path / 'mine.py')
    text = (tmp_path / 'mine.py').read_text()
    (tmp_path / 'run/mine.py').symlink_to(tmp_path / 'mine.py')
    (tmp_path / 'run/last_checkpoint').symlink_to(tmp_path / 'mine.py')
    train(load_config(tmp_path / 'mine.py'))
    assert (tmp_path / 'mine.py').read_text() == text
    assert (tmp_path / 'run/mine.py').is_file() and (tmp_path / 'run/last_checkpoint').read_text().endswith('.pth')


@pytest.mark.parametrize(
    ('damage', 'place'),
    [
        (lambda content: content.pop('optimizer'), 'missing required field `optimizer`'),
        (lambda content: content.pop('meta'), 'missing required field `meta`'),
        (lambda content: content['meta'].update(iter=-1), r'>= 0 - at `\$.meta.iter'),
        (lambda content: content.update(message_hub={}), r'missing required field `log_scalars` - at `\$.message_hub'),
        (lambda content: content['optimizer'].update(state={0: 3}), r'Expected `object`, got `int` - at `\$.optimizer.state'),
        (lambda content: content.update(param_schedulers=[3]), r'at `\$.param_schedulers'),
    ],
)
def test_a_training_continues_from_whole_checkpoints_alone(first, tmp_path, damage, place):
    content = torch.load(f'{first.work_dir}/iter_4.pth', weights_only=False)
    torch.save(content, tmp_path / 'sound.pth')
    check_resumable(tmp_path / 'sound.pth')
    damage(content)
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=f'Training cannot be resumed from .*a.pth .*{place}.*load_from'):
        check_resumable(tmp_path / 'a.pth')


def test_missing_data_stops_a_training_before_anything_is_built(toy_root, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, 'from_cfg', lambda config: pytest.fail('built'))
    cfg = config(toy_root, tmp_path / 'run')
    cfg.train_dataloader.dataset.proposals = 'none.npz'
    with pytest.raises(FileNotFoundError, match="Expected proposals in 'none.npz'"):
        train(cfg)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('resume', [True, False])
def test_a_checkpoint_of_another_model_is_refused_and_nothing_trains(toy_root, tmp_path, resume):
    torch.save(dict(meta={}, state_dict=torch.nn.Linear(3, 2).state_dict()), tmp_path / 'other.pth')
    cfg = config(toy_root, tmp_path / 'run')
    cfg.load_from = None if resume else str(tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth belongs to another model'):
        train(cfg, resume=str(tmp_path / 'other.pth') if resume else None)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_missing_checkpoint_is_named(toy_root, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        train(config(toy_root, tmp_path), resume='nowhere.pth')


def write(path, **model):
    torch.save(dict(state_dict=toy.build(toy.model_config(**model)).state_dict()), path)
    return path


def test_weights_of_a_shorter_cascade_start_a_longer_one_but_do_not_resume_it(tmp_path):
    path, net = write(tmp_path / 'short.pth', stages=('classification', 'detection')), toy.build(toy.model_config())
    check_checkpoint(net, path, whole=False)
    with pytest.raises(ValueError, match=r'short.pth belongs to another model.*missing \(stages.refinement'):
        check_checkpoint(net, path, whole=True)


def test_weights_of_other_shapes_or_of_a_part_of_a_stage_are_refused(tmp_path):
    path = write(tmp_path / 'a.pth')
    content = torch.load(path)
    state = content['state_dict']
    other = dict(state, **{'backbone.first.weight': torch.zeros(1)})
    part = {key: value for key, value in state.items() if key != 'stages.detection.detector.backbone.conv.bias'}
    for wrong, message in (
        (other, 'of another shape or type .*backbone.first.weight'),
        (part, 'missing .stages.detection.detector.backbone.conv.bias'),
    ):
        torch.save(dict(state_dict=wrong), path)
        for whole in (True, False):
            with pytest.raises(ValueError, match=message):
                check_checkpoint(toy.build(toy.model_config()), path, whole)


def test_weights_without_a_backbone_are_refused(tmp_path):
    path = write(tmp_path / 'a.pth')
    state = {key: value for key, value in torch.load(path)['state_dict'].items() if key.startswith('stages')}
    torch.save(dict(state_dict=state), path)
    with pytest.raises(ValueError, match='missing .backbone'):
        check_checkpoint(toy.build(toy.model_config()), path, whole=False)


@pytest.mark.parametrize('resume', [True, False])
def test_a_checkpoint_whose_classes_stand_in_another_order_is_refused(toy_root, tmp_path, first, resume):
    turned = config(toy_root, tmp_path)
    for loader in ('train_dataloader', 'label_dataloader'):
        turned[loader].dataset.metainfo = dict(classes=('kite', 'tree', 'cone', 'lolly'))
    path = f'{first.work_dir}/iter_2.pth'
    turned.load_from = None if resume else path
    with pytest.raises(ValueError, match='iter_2.pth was trained on the classes lolly, cone, tree, kite, the config has kite, tree'):
        train(turned, resume=path if resume else None)


def test_a_second_training_in_one_work_dir_is_refused_before_it_writes_anything(toy_root, tmp_path):
    with locked(tmp_path / 'run'), pytest.raises(ValueError, match=r"run' is being written by .* \(process \d+ on .*\), since 20\d\d-"):
        train(config(toy_root, tmp_path / 'run'))
    assert not (tmp_path / 'run').exists()

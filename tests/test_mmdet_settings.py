"""Settings that MMDetection would ignore, or that would end in a traceback or a wrong result, are refused in one line."""

import pytest
import toy
from mmengine.config import Config

from mmlabelpenet.apis.test import test as run_test
from mmlabelpenet.apis.train import LAUNCHERS, allow_cpu_ranks, check_training, train


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    toy.hurry(monkeypatch)


@pytest.fixture
def config(toy_root, tmp_path):
    """A toy training of two stages, which can also be tested."""
    toy.write_config(tmp_path / 'toy.py', toy_root)
    config = Config.fromfile(tmp_path / 'toy.py', format_python_code=False)
    config.work_dir, config.experiment_name = str(tmp_path / 'out'), f'settings_{tmp_path.name}'
    return config


def refused(config, said):
    with pytest.raises(ValueError, match=said) as raised:
        train(config)
    return str(raised.value)


@pytest.mark.parametrize(
    ('hook', 'said'),
    [
        (dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP'), 'EarlyStoppingHook needs validation: set val_dataloader, val_evaluator'),
        (dict(type='SetEpochInfoHook'), 'SetEpochInfoHook counts epochs, but this training counts only iterations: remove it'),
    ],
)
def test_hooks_that_cannot_act_are_refused(config, hook, said):
    config.custom_hooks = [hook]
    assert '\n' not in refused(config, said)


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        ('save_best', 'auto', 'default_hooks.checkpoint.save_best needs validation: set val_dataloader'),
        ('max_keep_ckpts', 1, 'set default_hooks.checkpoint.max_keep_ckpts=2, got 1'),
    ],
)
def test_settings_of_checkpoints_that_cannot_work_are_refused(config, key, value, said):
    config.default_hooks.checkpoint[key] = value
    assert '\n' not in refused(config, said)


@pytest.mark.parametrize(('key', 'value'), [('lr', -0.1), ('gamma', -1), ('warmup', -1)])
def test_negative_rates_of_a_phase_are_refused(config, key, value):
    config.train_cfg.phases.classification[key] = value
    refused(config, f'{key} of phase .classification. must be at least 0, got {value}')


def test_schedulers_of_several_optimizers_are_refused(config):
    config.param_scheduler = dict(generator=[dict(type='LinearLR', by_epoch=False)])
    refused(config, "needs a type, such as type='MultiStepLR', got the keys generator")


@pytest.mark.parametrize('key', ['activation_checkpointing', 'efficient_conv_bn_eval'])
@pytest.mark.parametrize('names', ['nose', ['backbone', 'nose']])
def test_names_of_modules_that_the_model_does_not_have_are_refused(config, key, names):
    config[key] = names
    refused(config, f"{key}: the model has no module 'nose'. At the top level it has data_preprocessor, backbone, stages")


@pytest.mark.parametrize('loader', ['train_dataloader', 'label_dataloader'])
def test_a_stage_without_rpn_is_not_trained_without_proposals(config, loader):
    config[loader].dataset.proposals = None
    assert 'selective_search.py' in refused(config, f'{loader}.dataset has no proposals, which the stage classification needs')


def test_stages_with_an_rpn_are_trained_without_proposals(config):
    config.train_cfg.phases.classification = None
    config.train_dataloader.dataset.proposals = config.label_dataloader.dataset.proposals = None
    check_training(config)
    config.train_cfg.phases.recurrent = dict(iters=1)
    with pytest.raises(ValueError, match='train_dataloader.dataset has no proposals'):
        check_training(config)


def test_training_in_phases_needs_a_data_loader_for_its_labels(config):
    config.label_dataloader = None
    refused(config, 'is not a config for training: it has no label_dataloader')


def test_a_checkpoint_that_is_a_folder_names_the_last_one_in_it(config, tmp_path):
    (tmp_path / 'earlier').mkdir()
    (tmp_path / 'earlier/last_checkpoint').write_text('earlier/iter_3.pth')
    for start in (dict(load_from=str(tmp_path / 'earlier')), dict(load_from=str(tmp_path / 'earlier'), resume=True)):
        config.update(start)
        with pytest.raises(FileNotFoundError, match='is not a checkpoint. Name one in .*, the last is .*earlier/iter_3.pth'):
            check_training(config)


def test_a_checkpoint_that_cannot_be_downloaded_is_named(config, monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    config.load_from = 'http://127.0.0.1:9/a.pth'
    with pytest.raises(OSError, match='http://127.0.0.1:9/a.pth cannot be downloaded .*Download it elsewhere and give the path'):
        train(config)


@pytest.mark.parametrize('launcher', LAUNCHERS)
def test_a_process_that_its_launcher_did_not_start_names_the_command(config, monkeypatch, launcher):
    for variable, _ in LAUNCHERS.values():
        monkeypatch.delenv(variable, raising=False)
    config.launcher = launcher
    with pytest.raises(ValueError, match=f"launcher '{launcher}': the environment variable .* is not set. Start the processes with"):
        allow_cpu_ranks(config)


@pytest.mark.parametrize(
    ('places', 'said'),
    [
        (dict(out='table.yaml'), "ending in .json, .pkl, .pickle, got 'table.yaml'"),
        (dict(out='.'), "ending in .json, .pkl, .pickle, got '.'"),
        (dict(dump='preds.pkl'), "ending in .json, got 'preds.pkl'"),
    ],
)
def test_places_for_results_are_refused_before_the_test(config, places, said):
    with pytest.raises(ValueError, match=said):
        run_test(config, 'missing.pth', **places)


@pytest.mark.parametrize(
    ('kind', 'said'),
    [
        ('InfiniteSampler', "InfiniteSampler never ends. Set test_dataloader.sampler=dict.type='DefaultSampler'"),
        ('mmlabelpenet.ResumableSampler', 'ResumableSampler never ends'),
    ],
)
def test_samplers_that_never_end_are_refused_in_testing(config, kind, said):
    config.test_dataloader.sampler = dict(type=kind)
    with pytest.raises(ValueError, match=said):
        run_test(config, 'missing.pth')


def test_a_stage_without_rpn_is_not_tested_without_proposals(config, tmp_path):
    runner = train(config)
    config.test_dataloader.dataset.proposals = None
    config.work_dir, config.experiment_name = str(tmp_path / 'test'), f'test_{tmp_path.name}'
    with pytest.raises(ValueError, match='test_dataloader.dataset has no proposals, which the stage classification needs'):
        run_test(config, tmp_path / 'out/iter_3.pth')
    assert 'detection' in run_test(config, tmp_path / 'out/iter_3.pth', 'detection') and runner.iter == 3

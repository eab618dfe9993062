import pytest
from mmengine.registry import init_default_scope

from mmlabelpenet.apis import load_config
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.own_data.config import Hardware, choose_recipe, write_config
from mmlabelpenet.workbench.own_data.dataset import OwnData

LAPTOP, SERVER = Hardware(0, 2), Hardware(24, 16)


def own(tmp_path, classes=('a cat', "it's"), **splits):
    return OwnData(tmp_path, classes, dict(train=['x'] * 12, test=['y'], new=[]) | splits, {}, {})


@pytest.mark.parametrize('hardware', [LAPTOP, SERVER, Hardware(8, 4)])
def test_the_config_builds_a_network_of_the_right_classes(tmp_path, hardware, monkeypatch):
    config = write_config(own(tmp_path), hardware, tmp_path / 'config.py')
    init_default_scope('mmlabelpenet')
    model = MODELS.build(config.model)
    assert [stage.roi_head.bbox_head.num_classes for stage in model.stages.values()] == [2] * 4
    dataset = config.train_dataloader.dataset
    assert dataset.metainfo.classes == ('a cat', "it's")
    assert dataset.tags == f'{tmp_path}/tags.csv' and dataset.proposals == f'{tmp_path}/proposals/train.npz'
    assert config.test_dataloader.dataset.split == 'test'
    assert config.work_dir == f'{tmp_path}/work_dir'
    assert not [key for key in config if key.startswith('__')]


def test_no_annotation_is_named_for_training(tmp_path):
    config = write_config(own(tmp_path), LAPTOP, tmp_path / 'config.py')
    for name in ('train_dataloader', 'label_dataloader'):
        assert config[name].dataset.type == 'VOCTags'
        assert 'Annotations' not in str(config[name]).replace('LoadAnnotations', '')  # which loads pseudo labels


@pytest.mark.parametrize(('splits', 'shown'), [(dict(), 'test'), (dict(test=[], new=['z']), 'new'), (dict(test=[]), 'train')])
def test_pictures_are_shown_of_the_first_split_that_has_any(tmp_path, splits, shown):
    assert write_config(own(tmp_path, **splits), LAPTOP, tmp_path / 'config.py').test_dataloader.dataset.split == shown


def test_more_pictures_and_better_hardware_mean_more_iterations():
    counts = [choose_recipe(number, LAPTOP).iters['detection'] for number in (10, 1000, 10_000)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    assert choose_recipe(1000, SERVER).iters['detection'] > counts[1]
    assert choose_recipe(1000, SERVER).batch_size > choose_recipe(1000, LAPTOP).batch_size
    assert choose_recipe(10**6, LAPTOP).iters['detection'] <= 3000


@pytest.mark.parametrize('edited', [False, True])
def test_the_rate_drops_within_each_phase_and_returns_also_when_the_iterations_are_edited(tmp_path, edited):
    path = tmp_path / 'config.py'
    write_config(own(tmp_path), LAPTOP, path)
    if edited:
        path.write_text(path.read_text().replace('detection=240', 'detection=600'))
    config = load_config(path)
    counts = [phase.iters for phase in config.train_cfg.phases]
    ends = [sum(counts[: k + 1]) for k in range(5)]
    assert counts[1] == (600 if edited else 240) and [phase.name for phase in config.train_cfg.phases][0] == 'classification'
    rate, rates = 1.0, {}
    for iteration in range(ends[-1]):
        for schedule in config.param_scheduler:
            rate *= schedule.gamma ** schedule.milestones.count(iteration)
        rates[iteration] = rate
    assert rates[ends[0] - 1] == 1
    for phase in (1, 2, 3):
        assert rates[ends[phase - 1]] == pytest.approx(0.5)
        assert rates[ends[phase] - 1] == pytest.approx(0.05)
    assert rates[ends[-1] - 1] == pytest.approx(0.05)


def test_this_machine_can_be_described():
    assert 'core' in str(Hardware.here()) or 'GPU' in str(Hardware.here())
    assert str(Hardware(23.7, 8)) == 'a GPU of 24 GiB' and str(Hardware(0, 1)) == '1 CPU core'

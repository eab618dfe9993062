import copy

import pytest
from mmengine.registry import init_default_scope

from mmlabelpenet.apis.config import load_config, stage_names
from mmlabelpenet.apis.inferencer import SHIPPED_WEIGHTS
from mmlabelpenet.engine.phases import make_phases
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
    assert [stage.detector.roi_head.bbox_head.num_classes for stage in model.stages.values()] == [2] * 4
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
def test_images_are_shown_of_the_first_split_that_has_any(tmp_path, splits, shown):
    assert write_config(own(tmp_path, **splits), LAPTOP, tmp_path / 'config.py').test_dataloader.dataset.split == shown


def test_a_data_set_without_test_images_can_be_trained_on(tmp_path):
    assert write_config(own(tmp_path, test=[]), LAPTOP, tmp_path / 'config.py').allow_test_overlap is True
    assert 'allow_test_overlap' not in write_config(own(tmp_path), LAPTOP, tmp_path / 'config.py')


def test_no_name_of_a_class_or_folder_is_substituted_in_the_config_or_in_what_training_writes_of_it(tmp_path):
    ran = tmp_path / 'ran'
    code = '{{$ZZ:x|(\\\',open("RAN","w"))#}}'.replace('RAN', str(ran))
    classes = ('{{$HOME:a}}', code, '{{ _base_.work_dir }}', '{{ fileDirname }}', '{{{{$HOME:b}}', "\\{{ it's \n")
    folder = tmp_path / '{{$HOME:c}} {{ fileBasename }}'
    folder.mkdir()
    config = write_config(own(folder, classes), LAPTOP, folder / 'config.py')
    config.dump(tmp_path / 'dumped.py')
    copy.deepcopy(load_config(tmp_path / 'dumped.py')).dump(tmp_path / 'again.py')
    for read in (config, load_config(tmp_path / 'dumped.py'), load_config(tmp_path / 'again.py')):
        assert read.train_dataloader.dataset.metainfo.classes == classes and read.data_root == str(folder)
    assert not ran.exists()


def test_more_images_and_better_hardware_mean_more_iterations():
    counts = [choose_recipe(number, LAPTOP).iters['detection'] for number in (10, 1000, 10_000)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    assert choose_recipe(1000, SERVER).iters['detection'] > counts[1]
    assert choose_recipe(1000, SERVER).batch_size > choose_recipe(1000, LAPTOP).batch_size
    assert choose_recipe(10**6, LAPTOP).iters['detection'] <= 3000


def test_the_rate_drops_within_each_later_phase_and_stays_low_in_the_last(tmp_path):
    config = write_config(own(tmp_path), LAPTOP, tmp_path / 'config.py')
    phases = make_phases(config.train_cfg.phases, stage_names(config))
    assert [phase.name for phase in phases] == [*stage_names(config), 'recurrent'] and phases[1].iters == 500
    rates = [(phase.rate(0, 1.0), phase.rate(phase.iters - 1, 1.0)) for phase in phases]
    assert rates == [pytest.approx((each, last)) for each, last in ((1e-3, 1e-3), *[(5e-4, 5e-5)] * 3, (5e-5, 5e-5))]
    assert [phase.warm_start for phase in phases] == [False, str(SHIPPED_WEIGHTS), True, True, False]


def test_this_machine_can_be_described():
    assert 'core' in str(Hardware.here()) or 'GPU' in str(Hardware.here())
    assert str(Hardware(23.7, 8)) == 'a GPU of 24 GiB' and str(Hardware(0, 1)) == '1 CPU core'

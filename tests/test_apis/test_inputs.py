"""Input files of a training or a test are checked before anything is built, and all missing ones are listed."""

from pathlib import Path

import pytest
import toy
from mmengine.config import Config

from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.inputs import CORLOC_ON, TESTED_ON, TRAINED_ON, check_inputs
from mmlabelpenet.apis.train import check_training
from mmlabelpenet.workbench.exports.voc import write_label_map

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(toy_root, tmp_path):
    return toy.run_config(toy_root, tmp_path, [('classification', 2)])


def missing(config, parts=TRAINED_ON, promised=()):
    with pytest.raises(FileNotFoundError) as raised:
        check_inputs(config, parts, promised)
    return str(raised.value)


def leaf(name, monkeypatch, tmp_path):
    """A config of ours in an empty folder."""
    for variable in ('MMLABELPENET_DATA', 'MMLABELPENET_COCO', 'MMLABELPENET_MINI'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return load_config(ROOT / f'configs/{name}.py')


def test_a_training_whose_files_are_there_passes(config):
    check_inputs(config, TRAINED_ON)
    check_training(config)


@pytest.mark.parametrize(
    ('name', 'lines'),
    [
        (
            'labelpenet/labelpenet_vgg16_voc07',
            [
                "Expected a VOC devkit at 'data/VOCdevkit/VOC2007', but it has no folder 'ImageSets'.",
                '    http://host.robots.ox.ac.uk/pascal/VOC/voc2007/',
                "Expected proposals in 'data/proposals/voc07_trainval.npz', but the file is missing. Create it with",
                '    python tools/dataset_converters/selective_search.py data/VOCdevkit/VOC2007 trainval data/proposals/voc07_trainval.npz',
                "ImageNet weights 'data/weights/vgg16_caffe_imagenet.pth' do not exist.",
                '    python tools/model_converters/imagenet_vgg16.py PUBLISHED.pth data/weights/vgg16_caffe_imagenet.pth --preset caffe',
            ],
        ),
        (
            'labelpenet/labelpenet_lite0_rendered',
            [
                "Expected a VOC devkit at 'data/rendered'",
                '    python tools/dataset_converters/render_voc.py data/rendered',
                "Expected proposals in 'data/proposals/rendered_train.npz'",
                '    python tools/dataset_converters/selective_search.py data/rendered train data/proposals/rendered_train.npz',
            ],
        ),
        (
            'labelpenet/labelpenet_r101_voc0712',
            ['Expected a VOC', '    python tools/dataset_converters/join_voc.py', 'Expected p', '    py'],
        ),
        ('labelpenet/labelpenet_lite0_coco17', ['Expected a VOC', '    https://cocodataset.org/#download', 'Expected proposals', '    py']),
        (
            'retrain/mask-rcnn_r50-dilated_voc12',
            ["Annotation file 'data/retrain/voc12/train.json' does not exist.", '    python tools/export_pseudo_labels.py work_dirs/'],
        ),
    ],
)
def test_all_that_a_config_lacks_is_listed_once_with_what_makes_it(monkeypatch, tmp_path, name, lines):
    found = missing(leaf(name, monkeypatch, tmp_path)).splitlines()
    assert len(found) == len(lines)
    for line, expected in zip(found, lines):
        assert line.startswith(expected)


def test_what_is_tested_on_is_looked_for_apart_from_what_is_trained_on(config, toy_root):
    config.test_dataloader = dict(dataset=toy.dataset_config(toy_root, 'test'))
    config.test_dataloader.dataset.proposals = 'none.npz'
    check_inputs(config, TRAINED_ON)
    assert missing(config, TESTED_ON).startswith("Expected proposals in 'none.npz'")
    config.corloc_evaluator = dict(type='StageMetric', data_root='nowhere', split='train')
    assert missing(config, CORLOC_ON).startswith("Expected a VOC devkit at 'nowhere'")


@pytest.mark.parametrize(
    ('key', 'value', 'error'),
    [
        ('split', 'tarin', "No split 'tarin' in .* Available splits: test, train"),
        ('tags', 'tags.csv', "Expected image tags in 'tags.csv', but it is missing"),
        ('proposals', 'none.npz', "Expected proposals in 'none.npz'"),
    ],
)
def test_a_missing_list_tag_file_or_proposal_file_is_named(config, key, value, error):
    config.train_dataloader.dataset[key] = value
    with pytest.raises(FileNotFoundError, match=error):
        check_inputs(config, TRAINED_ON)


def test_data_sets_within_others_are_looked_at_too(config):
    inner = dict(config.train_dataloader.dataset, proposals='none.npz')
    config.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[config.train_dataloader.dataset, inner])
    assert "'none.npz'" in missing(config)


def test_weights_stores_and_checkpoints_that_are_named_must_exist(config):
    config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='none.pth')
    config.train_cfg.phases = [dict(name='detection', iters=1, pseudo_labels='labels.json')]
    config.load_from = 'work_dirs/labelpenet_vgg16_voc07_cascade/iter_200000.pth'
    config = Config(config.to_dict(), filename=str(ROOT / 'configs/labelpenet/labelpenet_vgg16_voc07.py'))
    weights, checkpoint, command, store = missing(config).splitlines()
    assert weights.startswith("Weights 'none.pth'") and store.startswith('Label store labels.json')
    assert checkpoint.startswith(f'Checkpoint {config.load_from} does not exist. It is written by')
    assert command == f'    python tools/train.py {ROOT}/configs/labelpenet/labelpenet_vgg16_voc07_cascade.py'
    assert 'Checkpoint' not in missing(config, promised={Path(config.load_from).resolve()})
    config.model.backbone.init_cfg.checkpoint = 'torchvision://resnet50'  # downloaded
    assert 'Weights' not in missing(config)


def test_a_config_of_no_training_is_refused(config):
    config.train_dataloader = None
    with pytest.raises(ValueError, match='is not a config for training: it has no train_dataloader'):
        check_training(config)


def test_a_metric_on_a_devkit_with_classes_of_its_own_is_not_asked_for_those_of_voc(tmp_path):
    for folder in ('JPEGImages', 'ImageSets/Main'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'ImageSets/Main/test.txt').write_text('a\n')
    write_label_map(tmp_path, ['cat', 'lolly'])
    check_inputs(Config(dict(test_evaluator=dict(type='StageMetric', data_root=str(tmp_path), split='test'))), TESTED_ON)

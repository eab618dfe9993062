"""Every config: what it says is read, and it builds."""

from pathlib import Path

import pytest
import torch

import mmlabelpenet  # noqa: F401  registers everything
from mmlabelpenet.apis import load_config
from mmlabelpenet.registry import DATA_SAMPLERS, DATASETS, LOOPS, METRICS, MODELS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/*.py') if path.parent.name != 'retrain')
HEAVY = [leaf for leaf in LEAVES if 'vgg16' in leaf]  # half a billion parameters

RUNNER = {  # arguments of mmengine's runner, and what Runner.from_cfg and the launchers read
    *('model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg', 'auto_scale_lr'),
    *('optim_wrapper', 'param_scheduler', 'val_evaluator', 'test_evaluator', 'default_hooks', 'custom_hooks', 'data_preprocessor'),
    *('load_from', 'resume', 'launcher', 'env_cfg', 'log_processor', 'log_level', 'visualizer', 'default_scope', 'randomness'),
    *('experiment_name', 'custom_imports', 'model_wrapper_cfg'),
}
OURS = {  # key: the file that reads it, and how
    'label_dataloader': ('mmlabelpenet/engine/loops.py', 'cfg.label_dataloader'),
    'allow_test_overlap': ('mmlabelpenet/apis/train.py', "config.get('allow_test_overlap'"),
    'tta': ('mmlabelpenet/apis/tta.py', 'config.tta.scales'),
    'corloc_dataloader': ('mmlabelpenet/apis/test.py', 'config.corloc_dataloader'),
    'corloc_evaluator': ('mmlabelpenet/apis/test.py', 'config.corloc_evaluator'),
}
SHORTHANDS = {'data_root', 'metainfo', 'train_pipeline', 'test_pipeline'}  # a base file's own names, used in the same file


def load(leaf):
    return load_config(ROOT / leaf)


def leaves(*heavy_marks):
    return [pytest.param(leaf, marks=heavy_marks if leaf in HEAVY else ()) for leaf in LEAVES]


def types(node):
    """All registered names in a config, with the path to them."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node
        for value in node.values():
            yield from types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from types(value)


def test_there_are_configs():
    assert 'configs/labelpenet/labelpenet_lite0_rendered.py' in LEAVES


@pytest.mark.parametrize('leaf', LEAVES)
def test_every_top_level_key_is_read(leaf):
    unread = set(load(leaf)) - RUNNER - set(OURS) - SHORTHANDS
    assert not unread, f'{leaf}: nobody reads {sorted(unread)}'


@pytest.mark.parametrize(('reader', 'how'), OURS.values())
def test_our_own_keys_have_the_reader_they_claim(reader, how):
    assert how in (ROOT / reader).read_text()


@pytest.mark.parametrize('leaf', LEAVES)
def test_shorthands_reach_the_data_they_name(leaf):
    """A child that overrides a base's shorthand changes nothing; so each must still agree with what was made of it."""
    config = load(leaf)
    for name, value in config.items():
        if name in ('data_root', 'metainfo'):
            for loader in ('train_dataloader', 'label_dataloader', 'test_dataloader'):
                assert config[loader].dataset[name] == value, f'{loader}.dataset.{name} does not follow {name}'
        elif name in ('train_pipeline', 'test_pipeline'):
            loader = 'train_dataloader' if name == 'train_pipeline' else 'test_dataloader'
            assert config[loader].dataset.pipeline == value


@pytest.mark.parametrize('leaf', LEAVES)
def test_the_model_has_as_many_classes_as_the_data(leaf):
    config = load(leaf)
    for loader in ('train_dataloader', 'label_dataloader', 'test_dataloader'):
        dataset = config[loader].dataset
        metainfo = dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO
        assert len(metainfo['classes']) == config.model.num_classes


@pytest.mark.parametrize('leaf', LEAVES)
def test_labels_are_made_for_the_images_that_are_trained(leaf):
    config = load(leaf)
    train, label = config.train_dataloader.dataset, config.label_dataloader.dataset
    for key in set(train) | set(label):
        if key != 'pipeline':
            assert train.get(key) == label.get(key), key
    assert not any('Flip' in node['type'] or 'Random' in node['type'] for node in types(label.pipeline))


@pytest.mark.parametrize('leaf', LEAVES)
def test_no_test_image_is_trained_on(leaf):
    config = load(leaf)
    assert config.train_dataloader.dataset.split != config.test_dataloader.dataset.split


@pytest.mark.parametrize('leaf', LEAVES)
def test_loop_sampler_metric_and_pipelines_are_registered(leaf):
    config = load(leaf)
    for registry, name in (
        (LOOPS, config.train_cfg.type),
        (DATA_SAMPLERS, config.train_dataloader.sampler.type),
        (METRICS, config.test_evaluator.type),
    ):
        assert registry.get(name) is not None, name
    for loader in ('train_dataloader', 'label_dataloader', 'test_dataloader'):
        for step in config[loader].dataset.pipeline:
            TRANSFORMS.build(step)


@pytest.mark.parametrize('leaf', LEAVES)
def test_phases_come_in_order_and_train_stages_of_the_model(leaf):
    config = load(leaf)
    names = [phase.name for phase in config.train_cfg.phases]
    assert set(names) <= {*config.model.stages, 'recurrent'}
    order = [*config.model.stages, 'recurrent']
    assert names == sorted(names, key=order.index)


@pytest.mark.parametrize('leaf', leaves(pytest.mark.slow))
def test_the_model_builds_with_all_its_stages(leaf):
    config = load(leaf)
    before = config.model.to_dict()
    model = MODELS.build(config.model)
    assert model.names == tuple(config.model.stages) and config.model.to_dict() == before
    assert set(model.generators) >= set(model.names[:-1])
    for stage in model.stages.values():
        assert stage.roi_head.bbox_head.num_classes == config.model.num_classes


@pytest.mark.parametrize('leaf', HEAVY)
def test_a_large_model_builds_without_memory(leaf):
    with torch.device('meta'):
        model = MODELS.build(load(leaf).model)
    assert model.names == tuple(load(leaf).model.stages)

"""Comparison of label generators on trained networks."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.experiments.generator_comparison import METRICS, compare_generators, measure_labels
from mmlabelpenet.workbench.experiments.store_quality import store_quality

TOOL = Path(__file__).resolve().parents[3] / 'tools/analysis_tools/compare_generators.py'


@pytest.fixture(scope='module')
def configs(toy_root, tmp_path_factory):
    """The toy's config, and one whose every label is the box of the best proposal."""
    init_default_scope('mmlabelpenet')
    folder, found = tmp_path_factory.mktemp('configs'), []
    for name, changes in (('toy', {}), ('boxes', dict(box='proposal', crf=None))):
        model = toy.model_config()
        for stage in ('classification', 'detection'):
            model['stages'][stage]['labels'].update(changes)
        loader = dict(batch_size=2, num_workers=0, dataset=toy.dataset_config(toy_root, 'train', train=False))
        evaluator = dict(type='StageMetric', mask_classes=loader['dataset']['metainfo']['classes'])
        config = Config(dict(model=model, label_dataloader=loader, corloc_evaluator=evaluator), format_python_code=False)
        config.dump(folder / f'{name}.py')
        found.append(Config.fromfile(folder / f'{name}.py'))
    return found


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkpoints')
    for seed in (3, 4):
        net = toy.build(toy.model_config(), seed=seed)
        torch.save(dict(state_dict=net.state_dict(), meta=dict(iter=10, seed=seed)), folder / f'{seed}.pth')
    return [folder / '3.pth', folder / '4.pth']


@pytest.mark.parametrize('stage', ['classification', 'detection', 'refinement'])
def test_the_row_is_that_of_the_store_that_was_written(configs, checkpoints, tmp_path, stage):
    result = measure_labels(configs[0], checkpoints[0], stage, tmp_path)
    dataset = configs[0].label_dataloader.dataset
    store = PseudoLabelStore.load(tmp_path / f'{stage}.json')
    expected, counts = store_quality(store, VOCDevkit(dataset.data_root, dataset.metainfo.classes, dataset.metainfo.classes))
    assert result.table == {stage: expected} and set(METRICS) <= set(expected)
    assert (result.meta['seed'], result.meta['images']) == (3, counts['images']) and counts['images'] == len(store) == 6


def test_generators_differ_and_networks_are_seeds(configs, checkpoints, tmp_path):
    results = compare_generators(configs, checkpoints, 'classification', tmp_path)
    assert {name: [result.meta['seed'] for result in found] for name, found in results.items()} == dict(toy=[3, 4], boxes=[3, 4])
    rows = [found[0].table['classification'] for found in results.values()]
    assert rows[0]['box_iou'] != rows[1]['box_iou']
    assert len({str(found.table) for found in results['toy']}) == 2


def test_two_configs_of_one_name_are_rejected(configs, tmp_path):
    other = SimpleNamespace(filename=str(tmp_path / 'toy.py'))
    with pytest.raises(ValueError, match='Config names must be unique'):
        compare_generators([configs[0], other], ['a.pth'], 'classification', tmp_path / 'out')


def test_so_many_images_as_asked_for_are_spread_over_the_list(configs, checkpoints, tmp_path):
    result = measure_labels(configs[0], checkpoints[0], 'classification', tmp_path, max_images=4)
    store = PseudoLabelStore.load(tmp_path / 'classification.json')
    assert result.meta['images'] == len(store) == 4
    whole = measure_labels(configs[0], checkpoints[0], 'classification', tmp_path / 'all')
    names = [image['img_id'] for image in PseudoLabelStore.load(tmp_path / 'all/classification.json').content['images']]
    assert [image['img_id'] for image in store.content['images']] == [names[0], *names[2:4], names[5]] and whole.meta['images'] == 6


def test_a_stage_that_the_config_lacks_is_named(configs, checkpoints, tmp_path):
    with pytest.raises(ValueError, match="no stage 'polish' in .*toy.py, only classification, detection"):
        measure_labels(configs[0], checkpoints[0], 'polish', tmp_path)


def test_the_last_stage_hands_nothing_on(configs, checkpoints, tmp_path):
    with pytest.raises(ValueError, match='segmentation has no label generator'):
        measure_labels(configs[0], checkpoints[0], 'segmentation', tmp_path)


def test_the_command_prints_and_writes_the_table(configs, checkpoints, tmp_path, monkeypatch, capsys):
    words = [str(TOOL), *(config.filename for config in configs), '--checkpoints', *map(str, checkpoints), '--out', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', words)
    runpy.run_path(str(TOOL), run_name='__main__')
    text = (tmp_path / 'classification.md').read_text()
    assert text in capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith('| boxes'))
    assert '3, 4' in row and '±' in row and '(' in row

"""Checkpoint after checkpoint: where the classification stage looks."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.workbench.experiments.mil_mass import mil_mass
from mmlabelpenet.workbench.experiments.mil_mass_measures import KEYS
from mmlabelpenet.workbench.report.mil_plot import plot_mil_mass

TOOL = Path(__file__).resolve().parents[3] / 'tools/analysis_tools/mil_mass.py'


@pytest.fixture(scope='module')
def config(toy_root):
    init_default_scope('mmlabelpenet')
    dataset = toy.dataset_config(toy_root, 'train', train=False, keep_untagged=True, test_mode=True)
    evaluator = dict(type='StageMetric', mask_classes=dataset['metainfo']['classes'])
    return Config(dict(model=toy.model_config(), corloc_dataloader=dict(dataset=dataset), corloc_evaluator=evaluator))


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    folder, net = tmp_path_factory.mktemp('checkpoints'), toy.build(toy.model_config(), seed=2)
    for iteration in (20, 10):
        torch.save(dict(state_dict=net.state_dict(), meta=dict(iter=iteration)), folder / f'iter_{iteration}.pth')
        torch.nn.init.zeros_(net.stages['classification'].detector.roi_head.bbox_head.fc_weight.weight)  # all proposals weigh alike
        torch.nn.init.zeros_(net.stages['classification'].detector.roi_head.bbox_head.fc_weight.bias)
    return [folder / 'iter_20.pth', folder / 'iter_10.pth']


@pytest.fixture(scope='module')
def result(config, checkpoints):
    return mil_mass(config, checkpoints)


def test_every_checkpoint_is_measured_in_the_order_of_training(result):
    assert [row['iteration'] for row in result['checkpoints']] == [10, 20]
    for row in result['checkpoints']:
        assert all(0 <= row[key] <= 100.0001 for key in KEYS)
    assert result['meta']['images'] == 6 and result['meta']['tags'] >= 6


def test_equal_weights_have_the_largest_entropy_and_the_mass_of_chance(result):
    first, last = result['checkpoints']
    assert first['entropy'] == pytest.approx(100) and first['mass_on_object'] == pytest.approx(first['uniform_on_object'])
    assert last['entropy'] < 99 and last['uniform_on_object'] == pytest.approx(first['uniform_on_object'])


def test_fewer_images_are_spread_over_the_list(config, checkpoints):
    assert mil_mass(config, checkpoints[:1], max_images=4)['meta']['images'] == 4


def test_a_checkpoint_of_another_model_is_refused(config, tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(2))), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='lacks .* weights of the config'):
        mil_mass(config, [tmp_path / 'other.pth'])


def test_runs_are_drawn_beside_each_other(result, tmp_path):
    path = plot_mil_mass(dict(one=result, other=result), tmp_path / 'mil.svg')
    text = path.read_text()
    assert '<svg' in text and 'CorLoc' in text
    nameless = dict(result, checkpoints=[dict(row, iteration=None) for row in result['checkpoints']])
    with pytest.raises(ValueError, match='nothing to draw'):
        plot_mil_mass(dict(one=nameless), tmp_path / 'none.svg')
    assert not (tmp_path / 'none.svg').exists()


def test_the_command_writes_numbers_and_plot(config, checkpoints, tmp_path, monkeypatch, capsys):
    config.dump(tmp_path / 'toy.py')
    out, plot = tmp_path / 'mil.json', tmp_path / 'mil.png'
    words = [str(TOOL), str(tmp_path / 'toy.py'), *map(str, checkpoints), '--images', '2', '--out', str(out), '--plot', str(plot)]
    monkeypatch.setattr(sys, 'argv', words)
    runpy.run_path(str(TOOL), run_name='__main__')
    assert [row['iteration'] for row in json.loads(out.read_text())['checkpoints']] == [10, 20]
    assert plot.stat().st_size > 1000 and 'chosen_area' in capsys.readouterr().out

"""Proposal weights of the classification stage, checkpoint by checkpoint."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.workbench.experiments.mil_mass import KEYS, mil_mass, painted, pixel_shares, summarise_mass, tag_mass
from mmlabelpenet.workbench.report.plots import plot_mil_mass

SIZE = (24, 32)
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
    with pytest.raises(ValueError, match='nothing to plot'):
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


def test_runs_to_draw_beside_are_checked_before_anything_is_measured(config, result, tmp_path, load_tool, monkeypatch):
    monkeypatch.setattr('mmlabelpenet.workbench.experiments.mil_mass.mil_mass', None)
    tool = load_tool('analysis_tools/mil_mass.py')
    config.dump(tmp_path / 'toy.py')
    (tmp_path / 'other.json').write_text('{"a": 1}')
    (tmp_path / 'twin.json').write_text(json.dumps(dict(result, name='toy')))
    words = [str(tmp_path / 'toy.py'), 'a.pth', '--plot', str(tmp_path / 'mil.png'), '--beside']
    with pytest.raises(ValueError, match='other.json.*is not a result of this command'):
        tool.main([*words, str(tmp_path / 'other.json')])
    with pytest.raises(ValueError, match="Two of the plotted runs are named 'toy'"):
        tool.main([*words, str(tmp_path / 'twin.json')])
    with pytest.raises(ValueError, match='file with a name ending in .*.svg'):
        tool.main([*words[:3], str(tmp_path / 'mil.doc')])


def random_boxes(rng, count):
    corner = rng.integers(0, (SIZE[1] - 6, SIZE[0] - 6), size=(count, 2))
    return np.concatenate([corner, corner + rng.integers(1, 7, size=(count, 2))], 1).astype(np.float32)


@pytest.mark.parametrize('seed', range(3))
def test_shares_and_mass_equal_counting_pixels(seed):
    rng = np.random.default_rng(seed)
    boxes, pixels, weights = random_boxes(rng, 20), rng.random(SIZE) < 0.3, rng.dirichlet(np.ones(20))
    slow = []
    for left, top, right, bottom in boxes.astype(int):
        inside = [pixels[y, x] for y in range(top, bottom) for x in range(left, right)]
        slow.append(sum(inside) / len(inside))
    assert pixel_shares(boxes, pixels) == pytest.approx(slow)
    found = tag_mass(boxes, weights, weights, boxes[:1], pixels)
    assert found['mass_on_object'] == pytest.approx(sum(w * s for w, s in zip(weights, slow)))
    assert found['uniform_on_object'] == pytest.approx(np.mean(slow))


def test_a_tag_by_hand():
    boxes = np.array([[0, 0, 8, 12], [0, 0, 16, 12], [16, 12, 32, 24]], np.float32)
    found = tag_mass(boxes, np.array([0.1, 0.9, 0.2]), np.array([0.5, 0.25, 0.25]), boxes[:1], painted(boxes[:1], SIZE))
    assert found == pytest.approx(
        dict(
            chosen_area=0.25,
            mass_on_object=0.5 + 0.25 / 2,
            uniform_on_object=0.5,
            entropy=1.5 * np.log(2) / np.log(3),
            chosen_iou=0.5,
            CorLoc_50=1.0,
        )
    )


def test_boxes_beyond_the_image_and_boxes_without_a_pixel_are_measured_too():
    shares = pixel_shares(np.array([[-5, -5, 40, 40], [31.9, 23.9, 32, 24], [3, 3, 3, 3]]), np.ones(SIZE, bool))
    assert shares.tolist() == [1, 1, 1]


def test_one_proposal_has_no_choice():
    box = np.array([[0, 0, 32, 24]], np.float32)
    assert tag_mass(box, np.ones(1), np.ones(1), box, np.ones(SIZE, bool))['entropy'] == 1


def test_areas_have_a_median_corloc_is_a_mean_over_classes_and_the_rest_a_mean_over_tags():
    records = [dict.fromkeys(KEYS, value) for value in (0.0, 0.1, 1.0, 1.0)]
    found = summarise_mass(records, [0, 0, 0, 2], num_classes=3)
    assert found['chosen_area'] == pytest.approx(55) and found['entropy'] == pytest.approx(52.5)
    assert found['CorLoc_50'] == pytest.approx((110 / 3 + 100) / 2)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match='nothing to measure'):
        summarise_mass([], [], 3)

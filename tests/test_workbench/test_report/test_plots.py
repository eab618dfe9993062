"""Figures of losses and of differences."""

import json
import shutil
from xml.etree import ElementTree

import cv2
import pytest

from mmlabelpenet.workbench.experiments.differences import LAST
from mmlabelpenet.workbench.report import plots
from mmlabelpenet.workbench.report.plots import plot_differences, plot_logs, read_curves


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / 'run' / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    phases = dict(classification=dict(iters=3), detection=dict(iters=3))
    (folder / 'config.py').write_text(
        f'model = dict(stages=dict(classification={{}}, detection={{}}))\ntrain_cfg = dict(phases={phases})\n'
    )
    lines = [{'step': k, 'classification.loss_mil': 1.0 / k} for k in (1, 2, 3)]
    lines += [{'step': k, 'detection.loss_cls': 2.0 / k, 'detection.loss_bbox': 1.0} for k in (4, 5, 6)]
    (folder / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return tmp_path / 'run'


def test_a_figure_has_a_plot_for_each_phase(work_dir, tmp_path):
    both = cv2.imread(str(plot_logs([work_dir], tmp_path / 'a.png'))).shape
    one = cv2.imread(str(plot_logs([work_dir], tmp_path / 'b.png', keys=['loss_cls'], log=True))).shape
    assert both[1] > 1.5 * one[1] and both[0] == one[0]
    assert '<svg' in plot_logs([work_dir, work_dir], tmp_path / 'c.svg').read_text()


def test_runs_of_the_same_folder_name_are_all_drawn(work_dir, tmp_path):
    other = shutil.copytree(work_dir, tmp_path / 'other' / 'run')
    text = plot_logs([work_dir, other], tmp_path / 'a.svg').read_text()
    assert f'({work_dir})' in text and f'({other})' in text


def test_keys_choose_losses(work_dir):
    assert read_curves(work_dir, ['bbox']) == {'classification': {}, 'detection': {'loss_bbox': [(4, 1.0), (5, 1.0), (6, 1.0)]}}


def test_nothing_to_draw_is_an_error(work_dir, tmp_path):
    with pytest.raises(ValueError, match='that contains nonsense'):
        plot_logs([work_dir], tmp_path / 'a.png', keys=['nonsense'])
    with pytest.raises(FileNotFoundError, match='contains no training'):
        plot_logs([tmp_path / 'nothing'], tmp_path / 'a.png')
    assert not (tmp_path / 'a.png').exists()


def comparison(**means):
    """A base and configs that differ from it by so much in mIoU; None: not compared."""
    changes = {
        name: None if mean is None else dict(mean=mean, std=0.5, count=2, paired=True, values={'0': mean - 0.5, '1': mean + 0.5})
        for name, mean in means.items()
    }
    entries = [dict(name=name, stages={LAST: {'mIoU': dict(mean=50.0, difference=change)}}) for name, change in changes.items()]
    base = dict(name='base', stages={LAST: {'mIoU': dict(mean=50.0, difference=dict(mean=0.0, std=0.0, values={'0': 0.0}))}})
    return dict(base='base', metrics=['mIoU', 'CorLoc_50'], configs=[base, *entries])


def test_the_figure_is_whole_and_the_same_every_time(tmp_path):
    paths = [plot_differences(comparison(better=2.0, worse=-3.0), tmp_path / f'{k}.svg') for k in (1, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert ElementTree.parse(paths[0]).getroot().tag.endswith('svg')
    assert plot_differences(comparison(better=2.0), tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')


def test_each_config_has_its_line_and_each_seed_its_mark(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plots, 'save_figure', lambda figure, out: figures.append(figure))
    plot_differences(comparison(better=2.0, unknown=None, worse=-3.0), tmp_path / 'a.svg')
    (panel,) = figures[0].axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ['better', 'worse'] and panel.get_title() == 'mIoU'
    marks = [list(line.get_xdata()) for line in panel.lines if line.get_marker() == '|' and len(line.get_xdata()) == 2]
    assert [1.5, 2.5] in marks and [-3.5, -2.5] in marks
    means = {round(float(line.get_xdata()[0]), 3): line.get_color() for line in panel.lines if line.get_marker() == 'o'}
    assert means == {2.0: 'C2', -3.0: 'C3'}


def test_without_a_difference_there_is_no_figure(tmp_path):
    assert plot_differences(comparison(), tmp_path / 'a.svg') is None and not list(tmp_path.iterdir())

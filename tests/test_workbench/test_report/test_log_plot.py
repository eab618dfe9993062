import json

import cv2
import pytest

from mmlabelpenet.workbench.report.log_plot import plot_logs, read_curves


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


def test_keys_choose_losses(work_dir):
    assert read_curves(work_dir, ['bbox']) == {'classification': {}, 'detection': {'loss_bbox': [(4, 1.0), (5, 1.0), (6, 1.0)]}}


def test_nothing_to_draw_is_an_error(work_dir, tmp_path):
    with pytest.raises(ValueError, match='that holds nonsense'):
        plot_logs([work_dir], tmp_path / 'a.png', keys=['nonsense'])
    with pytest.raises(FileNotFoundError, match='holds no training'):
        plot_logs([tmp_path / 'nothing'], tmp_path / 'a.png')
    assert not (tmp_path / 'a.png').exists()

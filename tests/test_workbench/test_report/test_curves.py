import json
import math

import pytest
from mmengine.config import Config

from mmlabelpenet.workbench.report.curves import Chart, chart, loss_curves, nice_ticks, phase_lines, read_scalars

PHASES = dict(classification=3, detection=2, recurrent=2)


def curves_of(scalars, phases=PHASES):
    planned = {name: dict(iters=iters) for name, iters in phases.items()}
    stages = {name: {} for name in phases if name != 'recurrent'}
    config = Config(dict(model=dict(stages=stages), train_cfg=dict(phases=planned)))
    return {name: loss_curves(lines) for name, _, lines in phase_lines(scalars, config)}


def write_run(work_dir, name, lines):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(line if isinstance(line, str) else json.dumps(line) + '\n' for line in lines))


def test_a_resumed_run_takes_the_place_of_what_it_did_again(tmp_path):
    write_run(tmp_path, '20260101_000000', [dict(step=k, loss=1.0) for k in (1, 2, 3)])
    write_run(tmp_path, '20260102_000000', [dict(step=k, loss=2.0) for k in (3, 4)])
    assert [(line['step'], line['loss']) for line in read_scalars(tmp_path)] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_lines_cut_short_and_lines_of_tests_are_passed_over(tmp_path):
    write_run(tmp_path, '20260101_000000', [dict(step=1, loss=1.0), dict(step=9, **{'detection/mIoU': 3.0}), '{"step": 2, "lo'])
    assert [line['step'] for line in read_scalars(tmp_path)] == [1]


def test_a_work_dir_without_log_has_no_lines(tmp_path):
    assert read_scalars(tmp_path) == []


def test_each_phase_has_the_losses_of_its_own_stage_and_iterations():
    named = {1: 'classification.loss_mil', 2: 'classification.loss_mil', 3: 'classification.loss_mil', 4: 'detection.loss_cls'}
    scalars = [{'step': k, named.get(k, 'detection.loss_cls'): 1.0 * k, 'loss': 9.0, 'lr': 1.0} for k in range(1, 6)]
    curves = curves_of(scalars)
    assert curves['classification'] == {'loss_mil': [(1, 1.0), (2, 2.0), (3, 3.0)]}
    assert curves['detection'] == {'loss_cls': [(4, 4.0), (5, 5.0)]}
    assert curves['recurrent'] == {}


def test_recurrent_losses_are_summed_by_stage_and_direction():
    line = {
        'step': 6,
        'forward.detection.loss_cls': 1.0,
        'forward.detection.loss_bbox': 2.0,
        'forward.loss': 3.0,
        'forward.detection.acc': 50.0,
    }
    line['backward.detection.loss_cls'] = 4.0
    assert curves_of([line])['recurrent'] == {'forward.detection': [(6, 3.0)], 'backward.detection': [(6, 4.0)]}


def test_stages_of_any_name_have_curves():
    phases = dict(first=1, polishing=1, recurrent=1)
    lines = [{'step': 1, 'first.loss_a': 1.0}, {'step': 2, 'polishing.loss_b': 2.0}]
    lines.append({'step': 3, 'forward.first.loss_a': 3.0, 'forward.polishing.loss_b': 4.0})
    curves = curves_of(lines, phases)
    assert curves['first'] == {'loss_a': [(1, 1.0)]} and curves['polishing'] == {'loss_b': [(2, 2.0)]}
    assert curves['recurrent'] == {'forward.first': [(3, 3.0)], 'forward.polishing': [(3, 4.0)]}


def test_losses_that_are_no_numbers_are_left_out():
    lines = [{'step': 1, 'classification.loss_mil': math.nan}, {'step': 2, 'classification.loss_mil': 1.0}]
    assert curves_of(lines)['classification'] == {'loss_mil': [(2, 1.0)]}


@pytest.mark.parametrize(('low', 'high'), [(0, 1), (0, 0.003), (3, 4000), (0, 2.77), (-2, 5), (5, 5)])
def test_ticks_are_few_round_and_within(low, high):
    ticks = nice_ticks(low, high)
    assert len(ticks) <= 6
    assert all(low - 1e-6 <= tick <= high + 1e-6 for tick in ticks)


def test_all_of_a_chart_lies_within():
    drawn = chart('x', {'a': [(1, 0.5), (10, 2.5), (20, 1.0)], 'b': [(1, 7.0), (20, 0.1)], 'one': [(5, 1.0)]})
    assert [len(points) for points in drawn.lines.values()] == [3, 2, 1]
    for x, y in (point for points in drawn.lines.values() for point in points):
        assert Chart.left <= x <= Chart.right and Chart.top <= y <= Chart.bottom
    assert all(Chart.left <= x <= Chart.right for x, _ in drawn.across)
    assert all(Chart.top <= y <= Chart.bottom for y, _ in drawn.up)


def test_higher_values_lie_higher_and_later_ones_further_right():
    (x1, y1), (x2, y2), (x3, y3) = chart('x', {'a': [(1, 0.5), (10, 2.5), (20, 1.0)]}).lines['a']
    assert x1 < x2 < x3
    assert y2 < y3 < y1


def test_a_chart_without_points_is_empty():
    assert chart('x', {'a': []}) == Chart('x', {}, [], [])


def test_losses_beyond_all_bounds_are_left_out_of_charts():
    lines = [
        {'step': step, 'detection.loss_cls': value} for step, value in enumerate((1.0, 1e308, -1e308, float('nan'), float('inf'), 2.0))
    ]
    assert loss_curves(lines) == {'loss_cls': [(0, 1.0), (5, 2.0)]}


@pytest.mark.parametrize('damaged', ['', '{"step": 1, "lo', '[' * 100_000, f'{{"step": {"9" * 5000}}}', '3', '\ufffd'])
def test_damaged_lines_of_a_log_are_passed_over(tmp_path, damaged):
    (tmp_path / 'run/vis_data').mkdir(parents=True)
    (tmp_path / 'run/vis_data/scalars.json').write_text(f'{{"step": 1, "loss": 2}}\n{damaged}\n{{"step": 2, "loss": 3}}\n')
    assert read_scalars(tmp_path) == [dict(step=1, loss=2), dict(step=2, loss=3)]

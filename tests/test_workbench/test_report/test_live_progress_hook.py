import io
import re

import pytest
import torch
import toy
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from rich.console import Console

from mmlabelpenet.engine.phases import Phase
from mmlabelpenet.progress import LiveLine
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.workbench.report.live_progress_hook import LiveProgress, loss_values, relative_costs, time_left

PHASES = [Phase('classification', 10), Phase('detection', 20), Phase('recurrent', 2)]


@HOOKS.register_module(force=True)
class ToTheLine(Hook):
    """Makes the progress write to a terminal in memory, at every iteration."""

    priority = 'VERY_HIGH'
    stream = io.StringIO()

    def before_train(self, runner):
        (hook,) = (hook for hook in runner.hooks if isinstance(hook, LiveProgress))
        self.stream.truncate(0)
        hook.line = LiveLine(Console(file=self.stream, force_terminal=True, width=200))


def test_the_line_tells_phase_iterations_time_left_and_losses(toy_root, tmp_path, monkeypatch):
    init_default_scope('mmlabelpenet')
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmlabelpenet.workbench.report.live_progress_hook._REFRESH', -1)
    phases = [(name, 3) for name in (*toy.STAGES, 'recurrent')]
    toy.build_runner(toy.run_config(toy_root, tmp_path, phases, hooks=[dict(type='LiveProgress'), dict(type='ToTheLine')])).train()
    lines = [line for line in ToTheLine.stream.getvalue().split('\r\x1b[2K') if line]
    heads = [line.split(' | ') for line in lines]
    shown = [(phase, k) for phase in range(5) for k in (1, 2, 3) if k < 3 or phase == 3]  # labelling and the end clear the line
    expected = [(f'{phases[phase][0]} {k}/3', f'{3 * phase + k}/15') for phase, k in shown]
    assert [(head[0], head[1]) for head in heads] == expected
    assert all(re.fullmatch(r'left (\?|[\d:]+)', head[2]) for head in heads)
    assert heads[0][2] == 'left ?' and heads[1][2] != 'left ?'
    assert 'loss_mil' in heads[0][3] and 'loss_rpn_cls' in heads[2][3]
    assert 'forward.classification' in heads[-1][3] and 'backward.' in heads[-1][3]
    assert all(len(line) <= 200 and '\n' not in line for line in lines)


def test_nothing_is_written_where_there_is_no_terminal():
    stream = io.StringIO()
    hook = LiveProgress(Console(file=stream))
    hook.text = 'detection 1/3'
    hook.before_train_iter(None, 0)
    hook.after_train_iter(None, 0)
    assert stream.getvalue() == ''


def test_the_time_left_falls_to_nought():
    costs = [1.0, 1.8, 20.0]
    times = [time_left(PHASES, costs, k, 1.0) for k in range(1, 11)]
    assert times == sorted(times, reverse=True)
    assert time_left(PHASES, costs, 10, 1.0) == pytest.approx(20 * 1.8 + 2 * 20)
    assert time_left(PHASES, costs, 31, 40.0) == pytest.approx(40)
    assert time_left(PHASES, costs, 32, 40.0) == 0


def test_phases_of_any_name_have_a_usual_time():
    assert relative_costs(['tags', 'boxes', 'polishing'], ['tags', 'polishing', 'together']) == [1, 2, 15]


def test_losses_of_several_stages_are_summed():
    outputs = {'forward.loss': 9.0, 'forward.detection.loss_cls': torch.tensor(1.0), 'forward.detection.loss_bbox': 2.0}
    outputs |= {'backward.detection.loss_cls': 0.5, 'backward.detection.acc': 70.0, 'forward.backbone.grad_norm': 3.0}
    assert loss_values(outputs) == {'forward.detection': 3.0, 'backward.detection': 0.5}

"""Steps run once, are shown and logged, and continue after an interruption."""

import json
import os
import signal
import sys
import time

import pytest

from mmlabelpenet.workbench.quickstart.steps import Steps, run_command


def test_a_step_is_done_again_only_where_settings_or_outputs_ask_for_it(tmp_path):
    calls, output = [], tmp_path / 'output'

    def work():
        calls.append(1)
        output.write_text('x')

    def run(settings):
        Steps(tmp_path, 1).run('work', settings, [output], work, 'the command')

    run({'a': 1})
    run({'a': 1})
    assert len(calls) == 1
    run({'a': 2})
    assert len(calls) == 2
    output.unlink()
    run({'a': 2})
    assert len(calls) == 3
    assert json.loads((tmp_path / 'quickstart.json').read_text())['work']['command'] == 'the command'


def test_a_step_that_failed_is_not_done_and_its_time_counts(tmp_path):
    def fail():
        time.sleep(0.05)
        raise ValueError('no')

    for _ in range(2):
        with pytest.raises(ValueError, match='no'):
            Steps(tmp_path, 1).run('work', 1, [], fail, 'c')
    Steps(tmp_path, 1).run('work', 1, [], lambda: None, 'c')
    assert json.loads((tmp_path / 'quickstart.json').read_text())['work']['seconds'] >= 0.1


def test_a_command_writes_all_to_its_log_and_what_matters_to_the_terminal(tmp_path, capsys):
    run_command([sys.executable, '-c', 'print("secret"); print("x - mmengine - INFO - Phase detection: 3")'], tmp_path / 'a.log')
    assert capsys.readouterr().out == '    INFO - Phase detection: 3\n'
    assert (tmp_path / 'a.log').read_text() == 'secret\nx - mmengine - INFO - Phase detection: 3\n'


def test_a_command_that_fails_is_an_error_with_its_last_lines(tmp_path):
    with pytest.raises(ChildProcessError, match='exit status 3') as error:
        run_command([sys.executable, '-c', 'import sys; print("the reason"); sys.exit(3)'], tmp_path / 'a.log')
    assert 'the reason' in str(error.value)
    assert 'a.log' in str(error.value)


def test_a_command_does_not_outlive_an_interrupted_run(tmp_path, monkeypatch):
    def interrupt(text):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmlabelpenet.workbench.quickstart.steps.say', interrupt)
    code = f'import os, time; open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid())); print("Phase x", flush=True); time.sleep(60)'
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_command([sys.executable, '-c', code], tmp_path / 'a.log')
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / 'pid').read_text()), signal.SIG_DFL)

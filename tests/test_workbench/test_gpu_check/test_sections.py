"""Sections that finish, fail, hang or have no time left; their notes are kept."""

import os
import signal
import threading
import time

import msgspec
import pytest

from mmlabelpenet.processes import is_alive
from mmlabelpenet.workbench.gpu_check import sections
from mmlabelpenet.workbench.gpu_check.records import Findings, Notebook, Report, Settings, Table, read_findings
from mmlabelpenet.workbench.gpu_check.sections import Section, run_sections
from mmlabelpenet.workbench.report.page import write_page

CODE = """
import os, subprocess, sys, time

def quick(settings, notes):
    notes.fact('device', settings.device)
    notes.fact('seconds left', settings.left())
    notes.row('Times', ['name', 'ms'], ['one', 1.5])
    notes.row('Times', ['name', 'ms'], ['two', None])

def failing(settings, notes):
    notes.fact('noted', 'before the error')
    raise ValueError('Expected 1, got 2.')

def hanging(settings, notes):
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    notes.fact('child', child.pid)
    time.sleep(600)

def killed(settings, notes):
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run functions of CODE as sections, each with a share of the time."""
    (tmp_path / 'functions.py').write_text(CODE)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', os.getcwd())]))
    monkeypatch.setattr(sections, 'GRACE', 1.0)

    def run(seconds, finished=lambda _: None, **shares):
        chosen = [Section(name, name.title(), share, f'functions:{name}') for name, share in shares.items()]
        return run_sections(chosen, Settings('cpu', str(tmp_path)), seconds, finished)

    return run


def test_a_section_that_fails_or_dies_loses_neither_its_notes_nor_the_others(run):
    first, second, last = run(300.0, failing=1.0, killed=1.0, quick=1.0)
    assert (first.state, second.state, last.state) == ('failed', 'failed', 'done')
    assert first.findings.facts == {'noted': 'before the error'} and 'Expected 1, got 2.' in first.message
    assert last.findings.tables == [Table('Times', ['name', 'ms'], [['one', 1.5], ['two', None]])] and last.message == ''


def test_a_section_is_cut_off_with_its_children_and_keeps_its_notes(run, monkeypatch):
    begin = time.monotonic()
    monkeypatch.setattr(sections, 'SHORTEST', 1.0)
    (found,) = run(16.0, hanging=0.25)
    assert found.state == 'cut off' and found.limit == pytest.approx(4.0, abs=0.1) and 4 <= time.monotonic() - begin < 30
    assert ended(found.findings.facts['child'])


def test_an_interrupted_section_is_reported_and_ends_the_check(run, tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it

    def interrupt():
        while not (tmp_path / 'hanging.json').exists():
            time.sleep(0.1)
        signal.raise_signal(signal.SIGINT)

    seen = []
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(300.0, seen.extend, hanging=1.0, quick=1.0)
    finally:
        signal.signal(signal.SIGINT, before)
    (found,) = seen
    assert found.state == 'interrupted' and ended(found.findings.facts['child'])


def test_every_section_gets_the_seconds_that_imports_take(run):
    (found,) = run(100.0, quick=0.01)
    assert 0 < found.findings.facts['seconds left'] < found.limit
    assert found.limit == pytest.approx(sections.SHORTEST, abs=0.1)


def ended(process, seconds=10):
    """Whether a process ends within some seconds."""
    end = time.monotonic() + seconds
    while is_alive(process) and _state(process) != 'Z' and time.monotonic() < end:
        time.sleep(0.1)
    return not is_alive(process) or _state(process) == 'Z'


def _state(process):
    """The state of a process as Linux shows it; Z has ended and waits for its parent."""
    try:
        with open(f'/proc/{process}/stat') as file:
            return file.read().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return 'Z'


def test_sections_without_time_are_skipped_and_every_end_is_announced(run, monkeypatch):
    monkeypatch.setattr(sections, 'LEAST', 1.0)
    seen = []
    outcomes = run(2.0, lambda found: seen.append(len(found)), hanging=1.0, quick=1.0)
    assert [found.state for found in outcomes] == ['cut off', 'skipped'] and seen == [1, 2]
    assert outcomes[1].message == 'No time was left.' and outcomes[1].findings == Findings()


def test_the_report_survives_a_round_trip_and_its_page_escapes_what_was_found(tmp_path):
    notes = Notebook(tmp_path / 'found.json')
    notes.fact('GPU', '<b>&')
    notes.problem('a problem')
    notes.result('the main result')
    for number in range(26):
        notes.row('A long table', ['name'], [f'row {number}'])
    notes.row('Times', ['name', 'ms'], ['one', None])
    outcome = sections.Outcome('a', 'A title', 'in seconds', 'cut off', 1.4, 2.0, read_findings(tmp_path / 'found.json'), 'the end')
    report = Report('cuda', 8.0, 'now', [outcome])
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
    text = write_page(tmp_path / 'page.html', 'gpu_check.html', title='GPU check', report=report).read_text()
    for part in (
        'Run on a GPU, 8 minutes',
        '<dt>GPU</dt><dd>&lt;b&gt;&amp;</dd>',
        'a problem',
        'the main result',
        'A long table: 26 rows',
        'A title',
        'in seconds',
        'Cut off after 1 s',
        'End of a.log',
        'the end',
    ):
        assert part in text


def test_a_page_says_that_no_gpu_was_used(tmp_path):
    text = write_page(tmp_path / 'page.html', 'gpu_check.html', title='GPU check', report=Report('cpu', 0.5, 'now', [])).read_text()
    assert 'no GPU was used, 0.5 minutes' in text and 'are not representative of a GPU' in text and 'No section has finished yet' in text


def test_findings_of_another_shape_are_refused(tmp_path):
    (tmp_path / 'found.json').write_text('{"facts": [1]}')
    with pytest.raises(ValueError, match='findings of a section'):
        read_findings(tmp_path / 'found.json')
    assert read_findings(tmp_path / 'none.json') == Findings()

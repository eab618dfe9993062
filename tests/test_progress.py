import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from mmlabelpenet import progress
from mmlabelpenet.progress import LiveLine, ProgressBar, clock, track


def terminal(width=100):
    return Console(file=io.StringIO(), force_terminal=True, width=width)


@pytest.fixture
def at_once(monkeypatch):
    """Update bars and write lines after every item."""
    monkeypatch.setattr(progress, 'REFRESH', -1)
    monkeypatch.setattr(progress, 'LINES', -1)


def test_a_bar_on_a_terminal_counts_from_what_was_done_before(at_once):
    console = terminal()
    with ProgressBar('labels', 4, done=1, console=console) as bar:
        bar.advance()
        bar.advance(2)
    assert [count for count in ('1/4', '2/4', '3/4', '4/4') if count in console.file.getvalue()] == ['1/4', '2/4', '4/4']


def test_elsewhere_there_are_plain_lines(at_once):
    console = Console(file=io.StringIO(), width=20)
    with ProgressBar('labels of [red]x', 3, console=console) as bar:
        for _ in range(3):
            bar.advance()
    lines = console.file.getvalue().splitlines()
    assert [re.sub(r', [\d:]+ left', '', line) for line in lines] == [f'labels of [red]x: {k} of 3, 0:00:00 elapsed' for k in (1, 2, 3)]


def test_short_work_writes_no_line_where_there_is_no_terminal(capsys):
    assert list(track(iter('ab'), 'letters', 2)) == ['a', 'b']
    assert capsys.readouterr() == ('', '')


def test_bars_and_lines_go_to_standard_error(at_once, capsys):
    list(track('ab', 'letters'))
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('letters: 1 of 2')


def test_the_first_rank_alone_shows_progress(at_once, monkeypatch):
    monkeypatch.setattr(progress, 'is_first_rank', lambda: False)
    console = terminal()
    with ProgressBar('labels', 2, console=console) as bar:
        bar.advance()
    LiveLine(console).show('x')
    assert console.file.getvalue() == ''


def test_the_terminal_is_as_before_after_an_error(at_once):
    console, streams = terminal(), (sys.stdout, sys.stderr)
    with pytest.raises(ZeroDivisionError), ProgressBar('labels', 2, console=console):
        assert (sys.stdout, sys.stderr) == streams
        raise ZeroDivisionError
    assert console.file.getvalue().endswith('\x1b[?25h')  # the cursor is shown again


def test_a_live_line_is_cut_at_the_width_and_cleared():
    console = terminal(width=10)
    line = LiveLine(console)
    line.show('[b] 0123456789')
    line.clear()
    assert console.file.getvalue() == '\r\x1b[2K[b] 01234…\r\x1b[2K'


@pytest.mark.parametrize(('seconds', 'text'), [(0, '0:00:00'), (59.6, '0:01:00'), (3600, '1:00:00'), (None, '?')])
def test_a_clock_reads_like_one(seconds, text):
    assert clock(seconds) == text


def test_commands_that_show_progress_start_without_pytorch():
    code = 'import sys, mmlabelpenet.commands.selective_search; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0

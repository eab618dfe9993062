"""Forks in place of new interpreters are like them, as far as tests can tell."""

import subprocess
import time
from pathlib import Path

import pytest
import warm

import mmlabelpenet

SCRIPT = """
import os, subprocess, sys
print(__name__, sys.argv[1:], os.getcwd(), os.environ.get('A'), 'MISSING' in os.environ)
if len(sys.argv) > 2:
    inner = subprocess.run([sys.executable, '-u', __file__, 'in'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    other = subprocess.run(['bash', '-c', 'echo other; exit 5'], capture_output=True, text=True)
    print(inner.stdout, inner.returncode, other.stdout, other.returncode)
print('wrong', file=sys.stderr)
"""
HANGING = """
import os, subprocess, sys, time
if sys.argv[1:]:
    subprocess.Popen([sys.executable, __file__])
open(f'{os.getpid()}.alive', 'w').close()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ('end', 'code', 'error'),
    [('', 0, ''), ('sys.exit(3)', 3, ''), ('sys.exit("Error: no")', 1, 'Error: no\n'), ('raise ValueError(7)', 1, 'ValueError: 7\n')],
)
def test_a_fork_ends_and_speaks_as_a_new_process_does_and_so_do_those_that_it_starts(tmp_path, monkeypatch, end, code, error):
    monkeypatch.setenv('MISSING', '1')
    (tmp_path / 'script.py').write_text(SCRIPT + end)
    done = warm.run(tmp_path / 'script.py', 'a', 'b c', folder=tmp_path, A='x', MISSING=None)
    assert done.returncode == code and done.stderr.startswith('wrong\n') and done.stderr.endswith(f'wrong\n{error}' if code != 1 else error)
    first, second, *inner = done.stdout.splitlines()
    assert first == f"__main__ ['a', 'b c'] {tmp_path} x False"
    assert second == f"__main__ ['in'] {tmp_path} x False"
    assert inner[0] == 'wrong' and inner[-2:] == [f' {code} other', ' 5'] and ''.join(inner[1:-2]).endswith(error.strip())


def is_running(process, seconds=5):
    """Whether a process, which may be a zombie, does not end within some seconds."""
    stat, end = Path(f'/proc/{process}/stat'), time.monotonic() + seconds
    while stat.exists() and stat.read_text().rpartition(')')[2].split()[0] != 'Z':
        if time.monotonic() > end:
            return True
        time.sleep(0.05)
    return False


def test_a_fork_that_hangs_is_ended_with_those_that_it_started(tmp_path):
    (tmp_path / 'script.py').write_text(HANGING)
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(tmp_path / 'script.py', 'a', folder=tmp_path, timeout=2)
    found = [int(path.stem) for path in tmp_path.glob('*.alive')]
    assert len(found) == 2 and not any(map(is_running, found))


def test_modules_of_the_package_run_too():
    done = warm.run('-m', 'mmlabelpenet', '--version')
    assert (done.returncode, done.stderr) == (0, '') and mmlabelpenet.__version__ in done.stdout

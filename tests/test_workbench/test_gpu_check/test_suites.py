"""Tests run as a section."""

import re
from pathlib import Path

import pytest

from mmlabelpenet.workbench.gpu_check import suites
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

TESTS = Path(__file__).resolve().parents[2]
CODE = """
import pytest

def test_right():
    pass

def test_wrong():
    assert 1 == 2

@pytest.mark.skip
def test_none():
    pass

@pytest.mark.gpu
def test_gpu():
    pass

@pytest.fixture
def broken():
    raise ValueError

def test_broken(broken):
    pass
"""


def test_the_files_with_tests_of_gpus_are_known():
    paths = [path for path in TESTS.rglob('test_*.py') if path != Path(__file__)]
    marked = [
        path for path in paths if re.search(r'pytest\.mark\.gpu|^from devices import .*elsewhere', path.read_text(encoding='utf-8'), re.M)
    ]
    assert {str(path.relative_to(TESTS)) for path in marked} == set(suites.FILES)


def test_each_result_is_noted_and_failures_are_an_error(tmp_path, monkeypatch):
    (tmp_path / 'a b/tests').mkdir(parents=True)
    (tmp_path / 'a b/tests/test_gpu.py').write_text(CODE)
    (tmp_path / 'a b/tests/test_gpu_labels.py').touch()
    (tmp_path / 'a b/setup.cfg').write_text('[tool:pytest]\nmarkers = gpu\n')
    monkeypatch.setattr(suites, 'shipped', lambda name: tmp_path / 'a b' / name)
    monkeypatch.chdir(tmp_path)
    notes = Notebook(tmp_path / 'found.json')
    with pytest.raises(ChildProcessError, match='exited with status 1'):
        suites.tests(Settings('cpu', str(tmp_path)), notes)
    passed, others = notes.findings.tables
    assert [row[:2] for row in passed.rows] == [['test_gpu.py::test_right', 'passed']]
    assert [[row[0].removeprefix('test_gpu.py::'), row[1], row[3]] for row in others.rows] == [
        ['test_wrong', 'failed', 'assert 1 == 2'],
        ['test_none', 'skipped', 'Skipped: unconditional skip'],
        ['test_broken', 'failed', 'ValueError'],
    ]
    assert notes.findings.result == '1 passed, 2 failed, 1 skipped'


def test_an_installation_without_tests_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, 'shipped', lambda name: tmp_path / name)
    notes = Notebook(tmp_path / 'found.json')
    suites.tests(Settings('cpu', str(tmp_path)), notes)
    assert 'has no tests' in notes.findings.problems[0]

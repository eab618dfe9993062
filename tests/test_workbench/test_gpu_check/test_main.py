"""The command line of the check, and the whole of it on the CPU."""

import subprocess
from pathlib import Path

import msgspec
import pytest
import torch

from mmlabelpenet.workbench.gpu_check import __main__ as command
from mmlabelpenet.workbench.gpu_check.records import Findings, Outcome, Report

ROOT = Path(__file__).resolve().parents[3]


def test_a_folder_that_is_no_devkit_and_a_missing_gpu_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match='not a VOC devkit: it has no folder ImageSets/Main'):
        command.main(['--device', 'cpu', '--data', str(tmp_path)])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='no CUDA device. --device cpu'):
        command.main(['--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


def test_minutes_must_be_positive(capsys):
    with pytest.raises(SystemExit):
        command.parse_args(['--minutes', '0'])
    assert '--minutes must be positive, got 0' in capsys.readouterr().err


def test_the_status_tells_whether_a_section_failed_and_files_hold_all_outcomes(tmp_path, monkeypatch):
    def run_sections(sections, settings, seconds, finished):
        outcomes = []
        for section in sections:
            outcomes.append(Outcome(section.name, section.title, 'failed', 1.0, 2.0, Findings()))
            finished(outcomes)

    monkeypatch.setattr(command, 'run_sections', run_sections)
    assert command.main(['--device', 'cpu', '--out', str(tmp_path), '--section', 'vgg16', 'environment']) == 1
    report = msgspec.json.decode((tmp_path / 'gpu_check.json').read_bytes(), type=Report)
    assert [section.name for section in report.sections] == ['environment', 'vgg16']
    assert 'VGG-16 as in the paper' in (tmp_path / 'gpu_check.html').read_text()


@pytest.mark.slow
def test_the_check_runs_on_the_cpu_and_every_section_finds_something(tmp_path):
    words = ['bash', str(ROOT / 'tools/gpu_check.sh'), '--device', 'cpu', '--minutes', '4', '--out', str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=400, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode((tmp_path / 'gpu_check.json').read_bytes(), type=Report)
    found = {section.name: section for section in report.sections}
    assert list(found) == [section.name for section in command.SECTIONS]
    for name in ('environment', 'tests', 'vgg16', 'training'):
        assert found[name].state == 'done' and not found[name].findings.problems, found[name]
    assert found['environment'].findings.facts['torch'] == torch.__version__
    assert {row[1] for row in found['tests'].findings.tables[0].rows} == {'passed'}
    steps = [row[1] for row in found['vgg16'].findings.tables[0].rows if row[0] == 'float32']
    assert steps[:3] == ['classification', 'labels of classification', 'detection'] and steps[-1] == 'recurrent'
    (metrics,) = found['training'].findings.tables
    assert [row[0] for row in metrics.rows] == ['classification', 'detection', 'refinement', 'segmentation']
    assert (tmp_path / 'gpu_check.html').is_file()

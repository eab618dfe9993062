"""The command line of the check, and a complete check on the CPU."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
import torch

from mmlabelpenet.workbench.gpu_check import check as command
from mmlabelpenet.workbench.gpu_check.records import Findings, Outcome, Report

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_missing_is_named_before_anything_is_written(tmp_path, monkeypatch):
    check = ['--device', 'cpu', '--out', str(tmp_path / 'out'), '--data', str(tmp_path)]
    with pytest.raises(FileNotFoundError, match='not a VOC devkit: it has no folder ImageSets/Main'):
        command.main(check)
    (tmp_path / 'ImageSets/Main').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='none of these pairs of image lists'):
        command.main(check)
    for split in ('train', 'test'):
        (tmp_path / f'ImageSets/Main/{split}.txt').touch()
    with pytest.raises(FileNotFoundError, match=r"Expected proposals in '.*proposals/train.npz'"):
        command.main(check)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='no CUDA device. Use --device cpu'):
        command.main(['--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('minutes', ['0', 'nan', 'inf'])
def test_minutes_must_be_positive(minutes, capsys):
    with pytest.raises(SystemExit):
        command.parse_args(['--minutes', minutes])
    assert f'--minutes must be positive, got {minutes}' in capsys.readouterr().err


@pytest.mark.parametrize('package', ['msgspec', 'filelock'])
def test_a_missing_package_is_one_line(tmp_path, package):
    (tmp_path / f'{package}.py').write_text(f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')")
    environment = os.environ | dict(PYTHONPATH=str(tmp_path))
    done = subprocess.run(words(tmp_path / 'out', 1), env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and re.fullmatch(rf"Error: No module named '{package}'\..*\n", done.stderr)


def test_results_go_to_a_folder_of_their_own(tmp_path):
    (tmp_path / 'mine/training').mkdir(parents=True)
    (tmp_path / 'file').touch()
    for name, error, message in (
        ('mine', FileExistsError, 'contains other files and no earlier check'),
        ('file', NotADirectoryError, 'Expected a folder at .*file., got a file'),
        ('file/below', NotADirectoryError, 'Expected a folder at .*file., got a file'),
    ):
        with pytest.raises(error, match=message):
            command.main(['--device', 'cpu', '--out', str(tmp_path / name)])
    command.check_folder(tmp_path / 'new/folder')
    (tmp_path / 'mine/gpu_check.json').touch()  # an earlier check
    command.check_folder(tmp_path / 'mine')


def test_a_folder_without_write_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(command.os, 'access', lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OSError, match='cannot be written .it is read-only'):
        command.main(['--device', 'cpu', '--out', str(tmp_path)])


def test_the_status_tells_whether_a_section_failed_and_files_hold_all_outcomes(tmp_path, monkeypatch):
    pages = []

    def run_sections(sections, settings, seconds, finished):
        outcomes = []
        for section in sections:
            outcomes.append(Outcome(section.name, section.title, section.about, 'failed', 1.0, 2.0, Findings()))
            finished(outcomes)
            pages.append((tmp_path / 'gpu_check.html').read_text())

    monkeypatch.setattr(command, 'run_sections', run_sections)
    assert command.main(['--device', 'cpu', '--out', str(tmp_path), '--section', 'vgg16', 'environment']) == 1
    report = msgspec.json.decode((tmp_path / 'gpu_check.json').read_bytes(), type=Report)
    assert [section.name for section in report.sections] == ['environment', 'vgg16']
    assert ['VGG-16 as in the paper' in page for page in pages] == [False, True]


@pytest.mark.slow
def test_the_check_runs_on_the_cpu_and_every_section_finds_something(tmp_path):
    report = check(tmp_path, 30)
    found = {section.name: section for section in report.sections}
    for section in report.sections:
        assert section.state == 'done' and section.findings.result and not section.findings.problems, section
    assert found['environment'].findings.facts['torch'] == torch.__version__
    assert {row[1] for row in found['tests'].findings.tables[0].rows} == {'passed'}
    steps, phases = (
        [row[:2] for row in found['vgg16'].findings.tables[0].rows],
        ['classification', 'detection', 'refinement', 'segmentation'],
    )
    iterations = [[precision, phase] for precision in ('float32', 'bf16') for phase in [*phases, 'recurrent']]
    assert steps == [*iterations, *(['any', f'labels of {stage}'] for stage in phases[:3])]
    (metrics,) = found['training'].findings.tables
    assert [row[0] for row in metrics.rows] == ['classification', 'detection', 'refinement', 'segmentation']
    assert found['layouts'].findings.tables and found['benchmarks'].findings.tables


@pytest.mark.slow
def test_the_check_keeps_to_its_minutes_however_slow_the_machine_is(tmp_path):
    begin = time.monotonic()
    report = check(tmp_path, 4)
    assert time.monotonic() - begin < 300
    assert report.sections[0].findings.facts and not any(section.findings.problems for section in report.sections)
    assert {section.state for section in report.sections} <= {'done', 'cut off', 'skipped'}


@pytest.mark.slow
@pytest.mark.parametrize(('number', 'status'), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_an_interrupted_check_keeps_its_page_and_leaves_no_process(number, status, tmp_path):
    settings = dict(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))  # jobs in the background ignore it
    with subprocess.Popen(words(tmp_path / 'a b', 20), stderr=subprocess.PIPE, text=True, start_new_session=True, **settings) as process:
        while not (tmp_path / 'a b/tests.json').exists():
            assert process.poll() is None
            time.sleep(1)
        process.send_signal(number)
        _, told = process.communicate(timeout=120)
    assert process.returncode == status and 'Traceback' not in told
    assert not [line for line in subprocess.check_output(['ps', '-eo', 'args'], text=True).splitlines() if str(tmp_path) in line]
    report = msgspec.json.decode((tmp_path / 'a b/gpu_check.json').read_bytes(), type=Report)
    assert [section.state for section in report.sections] == ['done', 'interrupted'] and report.sections[1].findings.tables
    assert 'Interrupted after' in (tmp_path / 'a b/gpu_check.html').read_text()


def words(out, minutes):
    return ['bash', str(ROOT / 'tools/gpu_check.sh'), '--device', 'cpu', '--minutes', str(minutes), '--out', str(out)]


def check(out, minutes):
    """The report of a whole check on the CPU, by its command."""
    done = subprocess.run(words(out, minutes), capture_output=True, text=True, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode((out / 'gpu_check.json').read_bytes(), type=Report)
    assert [section.name for section in report.sections] == [section.name for section in command.SECTIONS]
    page = (out / 'gpu_check.html').read_text()
    assert 'no GPU was used' in page and page.count('Cut off after') == sum(section.state == 'cut off' for section in report.sections)
    return report

"""The bundle for a machine without network."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement

from mmlabelpenet.workbench.gpu_check.records import Report

ROOT = Path(__file__).resolve().parents[1]
THERE = ('torch', 'torchvision', 'numpy', 'scipy', 'opencv-contrib-python-headless', 'pip', 'setuptools')


def needed(names):
    """Distributions with all that they require."""
    found, left = {}, list(names)
    while left:
        name = re.sub('[-_.]+', '-', left.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # an optional part of another platform
            continue
        requirements = map(Requirement, found[name].requires or ())
        left += [each.name for each in requirements if each.marker is None or each.marker.evaluate(dict(extra=''))]
    return found.values()


@pytest.fixture
def bare(tmp_path):
    """An interpreter that has PyTorch, torchvision, NumPy, SciPy, OpenCV and what these require, and nothing else."""
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'bare'], check=True)
    python = tmp_path / 'bare/bin/python'
    site = Path(subprocess.check_output([python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], text=True).strip())
    for package in needed(THERE):
        for top in {file.parts[0] for file in package.files or () if file.parts[0] not in ('..', '__pycache__')}:
            if not (site / top).exists():
                (site / top).symlink_to(package.locate_file(top))
    return python


@pytest.mark.slow
def test_a_bundle_trains_an_iteration_of_each_phase_where_little_is_installed(bare, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    pack = ['bash', str(ROOT / 'tools/gpu_bundle.sh'), str(tmp_path / 'bundle')]
    done = subprocess.run(pack, env=environment | dict(PYTHON=sys.executable, PYTHON_VERSION=version), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_size <= 60 << 20 for path in (tmp_path / 'bundle').iterdir())
    assert subprocess.run([bare, '-c', 'import mmdet'], env=environment, capture_output=True).returncode
    unpack = ['bash', 'unpack.sh', '--device', 'cpu', '--minutes', '8', '--section', 'environment', 'training']
    away = environment | dict(PYTHON=str(bare), PIP_NO_INDEX='1')
    done = subprocess.run(unpack, cwd=tmp_path / 'bundle', env=away, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode((tmp_path / 'bundle/gpu_check/gpu_check.json').read_bytes(), type=Report)
    environment_found, training = report.sections
    assert environment_found.findings.facts['commit'] == (tmp_path / 'bundle/COMMIT').read_text().strip()
    assert training.state == 'done', training.message
    assert training.findings.facts['iterations of each phase'].count(' 1') == 5


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'DIR is missing'),
        (['out', 'more'], 'One DIR is expected'),
        (['out', '--data', 'nowhere'], 'nowhere is not a VOC devkit'),
        (['out', '--weights', 'nowhere'], 'nowhere does not exist'),
        (['out', '--other'], 'Unknown option --other'),
        (['full'], 'full is not empty'),
    ],
)
def test_what_cannot_be_packed_is_said_in_one_line(words, message, tmp_path):
    (tmp_path / 'full/file').mkdir(parents=True)
    done = subprocess.run(['bash', str(ROOT / 'tools/gpu_bundle.sh'), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / 'out').exists()

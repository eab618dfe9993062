"""The bundle for a machine without network."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement

from mmlabelpenet.workbench.gpu_check.records import Report
from mmlabelpenet.workbench.gpu_check.suites import FILES

ROOT = Path(__file__).resolve().parents[1]
THERE = ('torch', 'torchvision', 'numpy', 'scipy', 'pip', 'setuptools')
VERSION = f'{sys.version_info.major}.{sys.version_info.minor}'


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
    """Makes an interpreter with PyTorch, torchvision, NumPy, SciPy, OpenCV without contributed modules, what these require, and more."""

    def make(*more):
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'bare'], check=True)
        python = tmp_path / 'bare/bin/python'
        site = Path(subprocess.check_output([python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], text=True).strip())
        for package in needed((*THERE, *more)):
            for top in {file.parts[0] for file in package.files or () if file.parts[0] not in ('..', '__pycache__')}:
                if not (site / top).exists():
                    (site / top).symlink_to(package.locate_file(top))
        subprocess.run(
            [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--target', site, 'opencv-python-headless>=4.9,<6'], check=True
        )
        assert subprocess.run([python, '-c', 'import cv2; cv2.ximgproc'], capture_output=True).returncode
        return python

    return make


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """A whole bundle, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp('bundle') / 'a bundle'
    environment = os.environ | dict(PYTHON=sys.executable, PYTHON_VERSION=VERSION)
    done = subprocess.run(['bash', str(ROOT / 'tools/gpu_bundle.sh'), str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)


def without_path():
    """The environment, in which no other checkout is imported."""
    return {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}


def unpack(bundle, python, *words):
    environment = without_path() | dict(PYTHON=str(python), PIP_NO_INDEX='1')
    return subprocess.run(['bash', str(bundle / 'unpack.sh'), *words], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_bundle_trains_an_iteration_of_each_phase_where_little_is_installed(bare, bundle):
    python = bare()
    (core,) = bundle.glob('*.part?')
    assert core.name == 'core.tar.xz.part0' and core.stat().st_size <= 60 << 20
    for package in ('mmdet', 'pycocotools', 'msgspec'):
        assert subprocess.run([python, '-c', f'import {package}'], capture_output=True).returncode
    done = unpack(bundle, python, '--device', 'cpu', '--minutes', '30', '--section', 'environment', 'tests', 'training')
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode((bundle / 'gpu_check/gpu_check.json').read_bytes(), type=Report)
    environment, tests, training = report.sections
    assert environment.findings.facts['commit'] == (bundle / 'COMMIT').read_text().strip()
    assert environment.findings.facts['selective search'].startswith('missing')
    assert tests.state == training.state == 'done', report.sections
    assert {row[1] for row in tests.findings.tables[0].rows} == {'passed'}
    assert training.findings.facts['iterations of each phase'].count(' 1') == 5
    assert 'sliding windows' in training.findings.facts['proposals']
    words = [bundle / 'venv/bin/python', '-m', 'pytest', '--collect-only', '-q', '-m', 'gpu', *(f'tests/{name}' for name in FILES)]
    found = subprocess.run(words, cwd=bundle / 'mmlabelpenet', env=without_path(), capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert all(f'tests/{name}::' in found.stdout for name in FILES)


@pytest.mark.slow
def test_packages_that_are_there_are_used(bare, bundle):
    python = bare('pycocotools')
    shutil.rmtree(bundle / 'venv', ignore_errors=True)
    done = unpack(bundle, python, '--no-check')
    assert done.returncode == 0, done.stderr
    code = 'import mmdet, pycocotools, torch; print(pycocotools.__file__)'
    assert f'{python.parents[1]}/lib' in subprocess.check_output([bundle / 'venv/bin/python', '-c', code], text=True)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'DIR is missing'),
        (['out', 'more'], 'One DIR is expected'),
        (['out', '--data', 'nowhere'], 'nowhere is not a VOC devkit'),
        (['out', '--weights', 'nowhere'], 'nowhere does not exist'),
        (['out', '--other'], 'Unknown option --other'),
        (['full'], 'full is not empty'),
        (['full/empty'], 'cannot create directory'),
        (['out', '--weights', 'other.pth'], '--weights is for resnet50_caffe_imagenet_fp16.pth, got other.pth'),
    ],
)
def test_what_cannot_be_packed_is_said_in_one_line(words, message, tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/empty').touch()
    (tmp_path / 'other.pth').touch()
    done = subprocess.run(['bash', str(ROOT / 'tools/gpu_bundle.sh'), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('version', 'there', 'message'),
    [
        ('2.7', ['core'], f'This bundle is for Python 2.7, but {sys.executable} is Python {VERSION}'),
        (VERSION, ['data'], 'core.tar.xz.part0 of the bundle is not in'),
        (VERSION, ['half of core'], 'core.tar.xz in'),
        (VERSION, ['core', 'half of data'], 'data.tar.xz in'),
    ],
)
def test_what_cannot_be_unpacked_is_said_in_one_line(version, there, message, tmp_path):
    (tmp_path / 'a b').mkdir()
    shutil.copy(ROOT / 'tools/gpu_unpack.sh', tmp_path / 'a b/unpack.sh')
    (tmp_path / 'PYTHON_VERSION').write_text(f'{version}\n')
    packed = subprocess.check_output(['tar', '-cJ', '-C', tmp_path, 'PYTHON_VERSION'])
    for archive in there:
        half = len(packed) // 2 if archive.startswith('half') else None
        (tmp_path / f'a b/{archive.split()[-1]}.tar.xz.part0').write_bytes(packed[:half])
    done = unpack(tmp_path / 'a b', sys.executable)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / 'a b/venv').exists()


def test_a_copy_without_git_is_no_source_of_a_bundle(tmp_path):
    (tmp_path / 'a copy/tools').mkdir(parents=True)
    script = shutil.copy(ROOT / 'tools/gpu_bundle.sh', tmp_path / 'a copy/tools')
    words = ['bash', str(script), str(tmp_path / 'out')]
    done = subprocess.run(words, env=os.environ | dict(GIT_CEILING_DIRECTORIES=str(tmp_path)), capture_output=True, text=True)
    assert done.returncode == 1 and 'is no git repository, or git is missing' in done.stderr and len(done.stderr.splitlines()) == 1

"""Requirements and the set-up script."""

import ast
import re
import subprocess
import sys
import time
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'requirements').glob('*.txt'))


def requirements(name):
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return {r.name: r for r in map(Requirement, (line for line in lines if line and not line.startswith('#')))}


@pytest.mark.parametrize('name', [path.stem for path in FILES if path.stem != 'constraints'])
def test_every_requirement_has_a_lower_and_an_upper_bound(name):
    for requirement in requirements(name).values():
        operators = {spec.operator for spec in requirement.specifier}
        assert {'>=', '<'} <= operators, f'{requirement} in {name}.txt'


def test_tested_releases_lie_within_the_bounds():
    bounds = requirements('runtime') | requirements('mminstall') | requirements('crf')
    for name, tested in requirements('constraints').items():
        version = next(iter(tested.specifier)).version
        assert bounds[name].specifier.contains(version), f'{name} {version}'


def test_installed_releases_lie_within_the_bounds():
    installed = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in distributions()}
    for name, requirement in (requirements('runtime') | requirements('mminstall')).items():
        version = installed[name.lower().replace('_', '-')]
        assert SpecifierSet(str(requirement.specifier)).contains(version.split('+')[0]), f'{name} {version}'


def test_installing_the_package_leaves_pytorch_and_mmdetection_as_they_are():
    assert not [name for name in requirements('runtime') if re.match('torch|mm|onedl', name)]
    assert {'torch', 'torchvision', 'onedl-mmdetection'} <= requirements('mminstall').keys()
    assert {'mmdet', 'mmengine', 'mmcv-lite'} <= requirements('openmmlab').keys()


def imported_packages():
    """Top-level modules that the package imports anywhere in a file, except the standard library."""
    nodes = [node for path in (ROOT / 'mmlabelpenet').rglob('*.py') for node in ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split('.')[0] for name in names} - sys.stdlib_module_names - {'mmlabelpenet'}


def test_every_package_that_is_imported_is_declared():
    declared = {name.lower().replace('_', '-') for file in ('runtime', 'mminstall', 'crf') for name in requirements(file)}
    installed = packages_distributions() | {'pydensecrf': ['pydensecrf2']}  # optional
    for name in imported_packages() - {'pytest'}:  # of a checkout, whose tests the GPU check runs
        distributions_of_it = {found.lower().replace('_', '-') for found in installed[name]}
        assert distributions_of_it & declared, f'{name} is imported and not declared'


def test_exactly_one_opencv_wheel_is_installed_and_it_has_selective_search():
    import cv2

    wheels = {d.metadata['Name'].lower() for d in distributions() if re.match('opencv[-_]', d.metadata['Name'].lower())}
    assert wheels == {'opencv-contrib-python-headless'}
    cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()


@pytest.mark.skipif(not (ROOT / '.venv' / '.mmlabelpenet.done').is_file(), reason='.venv was not made by tools/setup_env.sh')
def test_a_second_set_up_installs_nothing_and_takes_less_than_three_seconds():
    script = f'source {ROOT}/tools/setup_env.sh && command -v python'
    if is_outdated():
        pytest.skip('requirements changed since the last set-up')
    start = time.monotonic()
    result = subprocess.run(['bash', '-c', script], capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 3
    assert result.stderr == ''
    assert result.stdout.strip() == str(ROOT / '.venv' / 'bin' / 'python')


def is_outdated():
    stamp = ROOT / '.venv' / '.mmlabelpenet.done'
    inputs = [*FILES, ROOT / 'setup.cfg', ROOT / 'pyproject.toml', ROOT / 'tools' / 'setup_env.sh']
    return any(path.stat().st_mtime > stamp.stat().st_mtime for path in inputs)


def test_an_interpreter_that_does_not_exist_fails_before_anything_is_made(tmp_path):
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'requirements').mkdir()
    for name in ('tools/setup_env.sh', 'setup.cfg', 'pyproject.toml'):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / 'requirements' / 'runtime.txt').touch()
    result = subprocess.run(
        ['bash', f'{tmp_path}/tools/setup_env.sh'], env={'PATH': '/usr/bin:/bin', 'PYTHON': 'no-python'}, capture_output=True, check=False
    )
    assert result.returncode != 0 and b'no-python is missing' in result.stderr
    assert not (tmp_path / '.venv').exists()

import subprocess
import time

import pytest
from mmengine.config import Config

import mmlabelpenet
from mmlabelpenet.apis.config import config_hash, planned_iterations, recipe_hash
from mmlabelpenet.apis.receipt import git_commit, package_versions, receipt


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one file, in which the package seems to lie."""
    (tmp_path / 'mmlabelpenet').mkdir()
    (tmp_path / 'mmlabelpenet/__init__.py').write_text('')
    monkeypatch.setattr(mmlabelpenet, '__file__', str(tmp_path / 'mmlabelpenet/__init__.py'))
    return tmp_path


def git(folder, *words):
    command = ['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_marked_where_files_differ_from_it(checkout):
    assert git_commit() is None
    git(checkout, 'init', '-q')
    git(checkout, 'add', '.')
    git(checkout, 'commit', '-q', '-m', 'a')
    assert git_commit() == git(checkout, 'rev-parse', 'HEAD')
    (checkout / 'mmlabelpenet/__init__.py').write_text('changed = True')
    assert git_commit() == git(checkout, 'rev-parse', 'HEAD') + '+'


def test_versions_name_python_and_what_numbers_depend_on():
    versions = package_versions()
    assert {'python', 'mmlabelpenet', 'torch', 'mmdet', 'numpy', 'pycocotools'} <= set(versions)
    assert all(versions.values())


def test_wall_time_counts_from_the_start():
    assert receipt(time.monotonic() - 10)['wall_time_s'] >= 10


@pytest.mark.parametrize('key', ['work_dir', 'experiment_name', 'launcher', 'load_from', 'resume'])
def test_runs_of_one_experiment_share_the_recipe_and_not_the_config(key):
    first, second = Config({'a': 1, key: 'x', 'randomness': {'seed': 1}}), Config({'a': 1, key: 'y', 'randomness': {'seed': 2}})
    assert recipe_hash(first) == recipe_hash(second)
    assert config_hash(first) != config_hash(second)


def test_another_setting_is_another_recipe():
    assert recipe_hash(Config({'a': 1})) != recipe_hash(Config({'a': 2}))
    deterministic = Config({'a': 1, 'randomness': {'deterministic': True}})
    assert recipe_hash(Config({'a': 1})) != recipe_hash(deterministic)


def test_planned_iterations_are_those_of_all_phases_or_unknown():
    assert planned_iterations(Config({'train_cfg': {'max_iters': 7}})) == 7
    assert planned_iterations(Config({})) is None

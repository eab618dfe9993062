"""The wheel without a checkout: configs, tools and commands. The environment reuses all installed packages except this one."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'mmlabelpenet::labelpenet/labelpenet_lite0_animals.py'
MIM = 'openmim setuptools<81 charset-normalizer click colorama model-index ordered-set pandas requests tabulate'.split()

pytestmark = pytest.mark.slow


class Environment:
    """An environment with the wheel, and a working folder outside of the checkout."""

    def __init__(self, root):
        self.root, self.work = root, root / 'work'
        self.work.mkdir()

    def __call__(self, *words, status=0):
        """Run one of its programs in the working folder; what it printed."""
        environment = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'MMLABELPENET_DATA')}
        environment['PATH'] = f'{self.root / "venv/bin"}:{environment["PATH"]}'
        done = subprocess.run(list(map(str, words)), cwd=self.work, env=environment, capture_output=True, text=True)
        assert done.returncode == status, f'{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}'
        return done.stdout + done.stderr


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    root = tmp_path_factory.mktemp('build')
    copied = shutil.ignore_patterns('.git', '.venv*', 'work_dirs', 'data', '*.egg-info', '__pycache__', 'build')
    shutil.copytree(ROOT, root / 'source', symlinks=True, ignore=copied)
    pip = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', root, root / 'source']
    subprocess.run(pip, check=True)
    return next(root.glob('*.whl'))


@pytest.fixture(scope='module')
def run(wheel, tmp_path_factory):
    root = tmp_path_factory.mktemp('empty')
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', root / 'venv'], check=True)
    python = root / 'venv/bin/python'
    site = Path(subprocess.check_output([python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], text=True).strip())
    (site / 'borrowed.pth').write_text(sysconfig.get_path('purelib') + '\n')
    pip = [sys.executable, '-m', 'pip', '--python', python, 'install', '-q', '--no-deps', '--no-index', '--force-reinstall']
    subprocess.run([*pip, '--target', site, wheel], check=True)
    shutil.copytree(site / 'bin', root / 'venv/bin', dirs_exist_ok=True)
    return Environment(root)


@pytest.fixture(scope='module')
def trained(run):
    """A quick check of the whole method, by the command alone."""
    run('mmlabelpenet', 'quickstart', '--quick-check')
    return run.work / 'work_dirs/quickstart_check'


@pytest.fixture(scope='module')
def rendered(run, trained):
    """The data of the quick check, where configs of the package look for rendered images."""
    for path in [run.work / 'data/rendered_check', *run.work.glob('data/proposals/rendered_check_*.npz')]:
        path.with_name(path.name.replace('rendered_check', 'rendered')).symlink_to(path)


@pytest.fixture(scope='module')
def mim(run):
    """OpenMMLab's mim, beside the wheel."""
    site = next((run.root / 'venv/lib').glob('python*/site-packages'))
    pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--target', site / 'mim_and_needs', *MIM]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip('mim cannot be downloaded')
    (site / 'mim_and_needs.pth').write_text('mim_and_needs\n')
    return lambda *words: run('python', '-m', 'mim', *words)


def test_the_package_comes_from_the_wheel(run):
    assert str(run.root) in run('python', '-c', 'import mmlabelpenet; print(mmlabelpenet.__file__)')


def test_one_page_of_help_names_every_command_and_each_has_its_own(run):
    page = run('mmlabelpenet', '--help')
    assert len(page.splitlines()) < 30
    for name in ('predict', 'own-data', 'quickstart', 'train', 'test', 'report', 'browse', 'export'):
        assert f'  {name} ' in page and f'usage: mmlabelpenet {name}' in run('mmlabelpenet', name, '--help')
    assert 'not a command' in run('mmlabelpenet', 'predicts', status=1)


def test_configs_are_read_by_the_name_of_the_package(run):
    (run.work / 'mine.py').write_text(f"_base_ = '{CONFIG}'\nmodel = dict(num_classes=3)\n")
    code = f"""
from mmengine.config import Config
from mmengine.hub import get_config
from mmlabelpenet.apis import load_config
for read, name in ((load_config, '{CONFIG}'), (get_config, '{CONFIG}'), (load_config, 'mine.py'), (Config.fromfile, 'mine.py')):
    model = read(name).model
    assert model.type == 'LabelPENet' and model.num_classes == (3 if name == 'mine.py' else 5), (read, name)
"""
    run('python', '-c', code)


def test_the_model_index_travels_with_its_metafiles_and_configs(run):
    code = """
import yaml
from mmlabelpenet.files import shipped
for file in yaml.safe_load(shipped('model-index.yml').read_text())['Import']:
    for model in yaml.safe_load(shipped(file).read_text())['Models']:
        assert shipped(model['Config']).is_file(), model
assert '.mim' in str(shipped('configs'))
"""
    run('python', '-c', code)


def test_the_quickstart_trains_and_the_other_commands_use_its_results(run, trained):
    assert (trained / 'metrics.json').is_file() and (trained / 'report.html').is_file()
    image = next((run.work / 'data/rendered_check/JPEGImages').glob('test_*'))
    run('mmlabelpenet', 'predict', image, '--model', trained, '--out', 'predicted', '--min-score', '0')
    run('python', '-m', 'mmlabelpenet.predict', image, '--model', trained, '--out', 'predicted_too')
    run('mmlabelpenet', 'predict', image, '--out', 'found')
    assert json.loads((run.work / 'found/labels.json').read_text())['categories'][7]['name'] == 'cat'
    assert (run.work / 'predicted/labels.json').is_file() and (run.work / 'predicted_too/labels.json').is_file()
    run('mmlabelpenet', 'browse', trained / 'pseudo_labels', '--out', 'page.html')
    store = trained / 'pseudo_labels/detection.json'
    run('mmlabelpenet', 'export', store, '--format', 'coco', '--images', 'data/rendered_check/JPEGImages', '--out', 'coco')
    assert (run.work / 'page.html').is_file() and (run.work / 'coco/train.json').is_file()


def test_own_data_begin_with_a_config_that_finds_its_bases(run, trained):
    names = sorted(path.name for path in (run.work / 'data/rendered_check/JPEGImages').glob('train_*'))
    lines = [f'{name},{"cone;kite" if number % 2 else "kite"}' for number, name in enumerate(names)]
    shutil.copytree(run.work / 'data/rendered_check/JPEGImages', run.work / 'photos', ignore=shutil.ignore_patterns('test_*'))
    (run.work / 'tags.csv').write_text('\n'.join(['image,tags', *lines]))
    printed = run('mmlabelpenet', 'own-data', 'init', 'mine', '--images', 'photos', '--tags', 'tags.csv', '--test-share', '0')
    assert 'Next: mmlabelpenet own-data proposals mine' in printed
    run('mmlabelpenet', 'own-data', 'proposals', 'mine')
    run('mmlabelpenet', 'own-data', 'train', 'mine', '--write-only')
    run('python', '-c', "from mmlabelpenet.apis import load_config; assert load_config('mine/config.py').model.num_classes == 2")


@pytest.mark.usefixtures('rendered')
def test_ablations_are_found_and_write_into_the_working_folder(run):
    tools = run('python', '-c', "from mmlabelpenet.files import shipped; print(shipped('tools'))").strip()
    commands = run('bash', f'{tools}/run_ablations.sh', '--dry-run')
    assert 'ablations/lite0_rendered_no_crf.py' in commands and '--work-dir work_dirs/ablations/lite0_rendered' in commands


def test_mim_finds_the_models(mim):
    printed = mim('search', 'mmlabelpenet', '--model', 'Label-PEnet', '--valid-config')
    assert 'labelpenet_lite0_rendered' in printed and 'labelpenet_vgg16_voc07' in printed


@pytest.mark.usefixtures('rendered')
def test_mim_trains_and_tests_a_config_of_the_package_by_its_name(mim, run):
    lengths = [f'train_cfg.phases.{name}.iters=1' for name in ('classification', 'detection', 'refinement', 'segmentation', 'recurrent')]
    config = 'labelpenet_lite0_rendered.py'
    mim('train', 'mmlabelpenet', config, '--work-dir', 'by_mim', '--cfg-options', *lengths)
    mim('test', 'mmlabelpenet', config, '--checkpoint', 'by_mim/iter_5.pth', '--out', 'by_mim.json')
    assert 'segmentation' in json.loads((run.work / 'by_mim.json').read_text())

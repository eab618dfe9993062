"""Fixtures: toy data and a toy network."""

import contextlib
import copy
import functools
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import mmlabelpenet  # noqa: F401  it serves mmcv.ops, which mmdet looks for when it is imported, whichever test is the first

sys.path.insert(0, str(Path(__file__).parent))  # toy
sys.path.insert(0, str(Path(__file__).parent / 'test_evaluation'))  # slow_references, random_images, tiny_devkit
sys.path.insert(0, str(Path(__file__).parent / 'test_calibration'))  # test_cut
sys.path.insert(0, str(Path(__file__).parent / 'test_workbench/test_experiments'))  # test_collect
sys.path.insert(0, str(Path(__file__).parent / 'test_workbench/test_report'))  # page_checks
sys.path.insert(0, str(Path(__file__).parent / 'test_engine'))  # training

CACHE = tempfile.TemporaryDirectory(prefix='feature_cache_')  # goes with the session
os.environ.setdefault('MMLABELPENET_CACHE', CACHE.name)  # read by configs with a feature cache

TOOLS = Path(__file__).resolve().parents[1] / 'tools'
FLAGS = (
    '--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-background-networking '
    '--disable-component-update --disable-sync --hide-scrollbars'
).split()


def _parse_once(parse=Config._file2dict):
    """Let MMEngine parse each config of the project once for each environment: tests read hundreds, most of them with the same bases."""
    kept, configs = functools.cache(lambda path, environment, options: parse(path, **dict(options))), f'{TOOLS.parent}/configs/'

    def parse_or_copy(filename, *rest, **options):
        path = os.path.abspath(filename)
        if rest or not path.startswith(configs):
            return parse(filename, *rest, **options)
        environment = tuple((name, value) for name, value in os.environ.items() if name.startswith('MMLABELPENET_'))
        return copy.deepcopy(kept(path, environment, tuple(options.items())))

    Config._file2dict = staticmethod(parse_or_copy)


_parse_once()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Configs name our parts without a prefix, also after a test that ran a config of mmdet's."""
    from mmengine.registry import DefaultScope

    if getattr(DefaultScope.get_current_instance(), 'scope_name', None) != 'mmlabelpenet':
        DefaultScope.get_instance(f'before {item.nodeid}', scope_name='mmlabelpenet')


@pytest.fixture(scope='session', autouse=True)
def _one_thread():
    """Tests compare bits with those of forked processes, and a fork cannot use its parent's threads; sums depend on their number."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory):
    """Devkit with six training and two test images, and its proposals. Do not modify it."""
    import toy

    return toy.make_data(tmp_path_factory.mktemp('toy'))


@pytest.fixture(scope='session')
def workspace(tmp_path_factory):
    """Folder with small data in every official layout below ``data``, where configs expect it. Only proposals are added to it."""
    import standin

    return standin.write_workspace(tmp_path_factory.mktemp('workspace'))


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    """A terminal in a temporary folder with small data in every layout, in which command lines run as a reader would type them."""
    import documented
    import standin

    for variable in ('MMLABELPENET_DATA', 'MMLABELPENET_COCO', 'MMLABELPENET_MINI'):
        monkeypatch.delenv(variable, raising=False)
    found = documented.Terminal(standin.write_workspace(tmp_path / 'workspace'))
    monkeypatch.chdir(found.folder)
    yield found
    shutil.rmtree(found.folder)  # hundreds of megabytes


@pytest.fixture(scope='session')
def _toy_batch(toy_root):
    import toy
    from mmengine.dataset import pseudo_collate

    from mmlabelpenet.registry import DATASETS

    dataset = DATASETS.build(toy.dataset_config(toy_root, train=False))
    return pseudo_collate([dataset[0], dataset[1]])


@pytest.fixture
def toy_net():
    """All four stages."""
    import toy

    return toy.build(toy.model_config())


@pytest.fixture
def toy_batch(_toy_batch, toy_net):
    """``(inputs, samples)`` of two training images after preprocessing, labelled with their best proposals."""
    import copy

    import numpy as np

    from mmlabelpenet.structures import pseudo_instances

    data = toy_net.data_preprocessor(copy.deepcopy(_toy_batch), training=False)
    for sample in data['data_samples']:
        tags = sample.gt_image_labels.onehot.nonzero().flatten()
        bboxes = sample.proposals.bboxes[-len(tags) - 1 :]
        labels = tags[torch.arange(len(bboxes)) % len(tags)]
        masks = np.zeros((len(bboxes), *sample.img_shape), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, bboxes.int().tolist(), strict=True):
            mask[y1 : (y1 + y2 + 1) // 2, x1:x2] = 1
        sample.pseudo_instances = pseudo_instances(bboxes, labels, masks, torch.linspace(0.3, 0.9, len(bboxes)))
    return data['inputs'], data['data_samples']


@pytest.fixture
def device(request, monkeypatch):
    """A device by its name, as ``elsewhere`` and ``in_its_place`` of ``devices`` give it; with exact products, which TF32's are not."""
    import devices

    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    with devices.pretended() if request.param == devices.PRETENDED else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def load_tool(monkeypatch):
    """Import a script by its path below tools/."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f'tool_{Path(name).stem}', TOOLS / name)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # worker processes look their functions up there
        spec.loader.exec_module(module)
        return module

    return load


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--screenshots', type=Path, help='folder that gets images of the pages, such as docs/images')
    parser.addoption('--work-dir', type=Path, help='a finished training whose pages are shown (default: a toy)')


@pytest.fixture(scope='session')
def browser():
    """Headless Chromium; skips the test if it, its driver or selenium is missing."""
    webdriver = pytest.importorskip('selenium.webdriver')
    program = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    driver = shutil.which('chromedriver')
    if program is None or driver is None:
        pytest.skip('Chromium or its driver is not installed')
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    for flag in FLAGS:
        options.add_argument(flag)
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as running:
        yield running

"""The scripts and notebooks in demo/ run unchanged."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
import torch
import toy
from mmengine.registry import init_default_scope
from nbclient import NotebookClient
from pycocotools import mask as coco_mask

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def model(toy_root, tmp_path_factory):
    """Config and checkpoint of the toy network, untrained."""
    init_default_scope('mmlabelpenet')
    folder = tmp_path_factory.mktemp('model')
    config = toy.run_config(toy_root, folder, [('classification', 1)])
    config.test_dataloader = dict(dataset=toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True))
    config.dump(folder / 'toy.py')
    torch.save({'state_dict': toy.build(toy.model_config(), seed=2).state_dict(), 'meta': {}}, folder / 'iter_1.pth')
    return [str(folder / 'toy.py'), '--weights', str(folder / 'iter_1.pth'), '--device', 'cpu']


def run_demo(monkeypatch, *words):
    spec = importlib.util.spec_from_file_location('image_demo', ROOT / 'demo/image_demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', ['image_demo.py', *map(str, words)])
    module.main()


def test_the_image_demo_takes_the_arguments_of_mmdetections_and_writes_its_files(model, toy_root, tmp_path, monkeypatch, capsys):
    image = sorted((toy_root / 'JPEGImages').glob('test_*'))[0]
    run_demo(monkeypatch, image, *model, '--out-dir', tmp_path, '--pred-score-thr', '0.26', '--print-result')
    content = json.loads((tmp_path / f'preds/{image.stem}.json').read_text())
    assert (tmp_path / f'vis/{image.stem}.jpg').is_file()
    assert content.keys() == {'labels', 'scores', 'bboxes', 'masks'} and content['scores']
    assert len({len(values) for values in content.values()}) == 1 and min(content['scores']) >= 0.26
    assert coco_mask.decode(content['masks'][0]).shape == (toy.HEIGHT, toy.WIDTH)
    assert json.dumps(content) in capsys.readouterr().out


def test_the_image_demo_overwrites_no_image_with_another_of_its_name(model, toy_root, tmp_path, monkeypatch):
    for folder in ('day', 'night'):
        (tmp_path / 'images' / folder).mkdir(parents=True)
        shutil.copy(next((toy_root / 'JPEGImages').glob('test_*')), tmp_path / f'images/{folder}/a.jpg')
    run_demo(monkeypatch, tmp_path / 'images', *model, '--out-dir', tmp_path / 'out', '--no-save-pred')
    written = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / 'out').rglob('*.jpg'))
    assert written == ['out/vis/day/a.jpg', 'out/vis/night/a.jpg']


def test_the_image_demo_writes_nothing_where_nothing_is_wanted(model, toy_root, tmp_path, monkeypatch):
    image = sorted((toy_root / 'JPEGImages').glob('test_*'))[0]
    run_demo(monkeypatch, image, *model, '--out-dir', tmp_path, '--no-save-vis', '--no-save-pred')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('option', ['--palette', '--show'])
def test_options_of_mmdetections_demo_that_are_not_here_say_what_to_give(monkeypatch, capsys, option):
    with pytest.raises(SystemExit):
        run_demo(monkeypatch, 'a.jpg', 'config.py', option)
    assert f' instead of {option}.' in capsys.readouterr().err


@pytest.mark.slow
def test_the_tutorial_runs_and_ends_with_masks_that_are_right(tmp_path, monkeypatch):
    notebook = nbformat.read(ROOT / 'demo/tutorial.ipynb', as_version=4)
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    client = NotebookClient(notebook, timeout=None, kernel_name='python3', resources={'metadata': {'path': str(tmp_path)}})
    client.execute()
    table = json.loads((tmp_path / 'work_dirs/figures/metrics.json').read_text())
    assert table['segmentation']['segm_mAP_50_area'] > 50
    images = [output for cell in notebook.cells for output in cell.get('outputs', []) if 'image/png' in output.get('data', {})]
    assert len(images) == 5


def test_the_tutorial_is_stored_without_outputs():
    cells = nbformat.read(ROOT / 'demo/tutorial.ipynb', as_version=4).cells
    assert all(cell.get('execution_count') is None and not cell.get('outputs') for cell in cells)

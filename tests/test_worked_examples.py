"""The worked examples of the documentation run as they are printed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet import apis
from mmlabelpenet.apis.config import phase_lengths
from mmlabelpenet.calibration.attention import class_attention
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.registry import LABEL_GENERATORS, MODELS
from mmlabelpenet.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope='module')
def _hurry():
    with pytest.MonkeyPatch.context() as patch:
        toy.hurry(patch)
        yield


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A function that writes the two files of a page and returns the folder; what they register goes with the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    register_all_modules()  # so that only what the page itself registers goes
    registered = [(registry, set(registry.module_dict)) for registry in (MODELS, LABEL_GENERATORS)]

    def write(page):
        text = (ROOT / 'docs' / page).read_text()
        module, config = re.findall(r'^```python\n(.*?)^```', text, flags=re.DOTALL | re.MULTILINE)
        (name,) = re.findall(r"imports=\['mmlabelpenet', '(\w+)'\]", config)
        assert f'`{name}.py`' in text
        (tmp_path / f'{name}.py').write_text(module)
        (tmp_path / 'config.py').write_text(config.replace("'./", f"'{ROOT}/configs/labelpenet/"))
        return tmp_path

    yield write
    for registry, names in registered:
        for name in set(registry.module_dict) - names:
            registry.module_dict.pop(name)
    for name in set(sys.modules) - before:
        if name in ('watershed', 'polish'):
            del sys.modules[name]
    init_default_scope('mmlabelpenet')


@pytest.mark.parametrize('page', ['add_a_stage.md', 'add_a_generator.md'])
def test_an_example_has_forty_lines_at_most(page):
    blocks = re.findall(r'^```python\n(.*?)^```', (ROOT / 'docs' / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2 and sum(len(block.splitlines()) for block in blocks) <= 40


def on_toy_data(config, toy_root, work_dir, phases):
    for loader in ('train_dataloader', 'label_dataloader', 'test_dataloader'):
        data = toy.dataset_config(toy_root, split='test' if loader == 'test_dataloader' else 'train')
        config[loader].update(batch_size=1, num_workers=0)
        config[loader].dataset.update({key: data[key] for key in ('data_root', 'split', 'proposals')}, indices=2)
    for name in phase_lengths(config):
        config.train_cfg.phases[name] = dict(iters=1) if name in phases else None
    config.test_evaluator.update(data_root=str(toy_root))
    config.update(visualizer=None, work_dir=str(work_dir), experiment_name=work_dir.name, log_level='WARNING', corloc_dataloader=None)
    config.default_hooks = dict(checkpoint=dict(type='AtomicCheckpointHook', interval=len(phases)))
    return Config(config.to_dict(), filename=config.filename, format_python_code=False)


def test_a_fifth_stage_learns_from_the_fourth_and_in_recurrent_fine_tuning(example, toy_root):
    folder = example('add_a_stage.md')
    config = apis.load_config(folder / 'config.py')
    assert list(phase_lengths(config)) == [*toy.STAGES, 'polish', 'recurrent']
    small = on_toy_data(config, toy_root, folder / 'run', ['polish', 'recurrent'])
    runner = apis.train(small)
    model, seen = runner.model, MODELS.build(config.model).state_dict()
    assert isinstance(model, LabelPENet) and model.names == (*toy.STAGES, 'polish')
    assert type(model.stages['polish'].detector.backbone).__name__ == 'ResidualTail'
    moved = {name.split('.')[1] for name, value in model.state_dict().items() if not torch.equal(value, seen[name])}
    assert 'polish' in moved
    store = PseudoLabelStore.load(folder / 'run/pseudo_labels/segmentation.json')
    assert store.header['stage'] == 'segmentation' and len(store) == 2
    table = apis.test(small, folder / 'run/iter_2.pth', stages='polish')
    assert 0 <= table['polish']['segm_mAP_50_area'] <= 100


def test_watershed_draws_the_outlines(example, toy_root):
    folder = example('add_a_generator.md')
    config = apis.load_config(folder / 'config.py')
    made = config.model.stages.classification.labels
    assert made.type == 'WatershedCalibration' and config.model.stages.detection.labels.type == 'ProposalCalibration'
    generator = LABEL_GENERATORS.build(made)
    image = np.full((60, 80, 3), 30, np.uint8)
    image[20:40, 30:50] = (220, 40, 40)
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(80), indexing='ij')
    soft = torch.exp(-((rows - 29) ** 2 + (columns - 39) ** 2) / 200)[None]  # round, and a pixel off
    soft = torch.where(soft < 0.05, 0.0, soft)
    (mask,) = generator.segment(image, class_attention(soft, generator.peak).numpy())
    truth, cut = image[..., 0] > 100, soft[0].numpy() > 0.5
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95 > 0.9 > (cut & truth).sum() / (cut | truth).sum()
    assert generator.segment(image, class_attention(soft[:0]).numpy()).shape == (0, 60, 80)
    both = generator.segment(image, class_attention(torch.cat([soft, soft.roll(8, 2)])).numpy())
    assert not (both[0] & both[1]).any()


def test_labels_of_the_generator_reach_the_next_stage(example, toy_root):
    folder = example('add_a_generator.md')
    config = toy.run_config(toy_root, folder / 'run', [('classification', 1), ('detection', 1)])
    config.model.stages.classification.labels = apis.load_config(folder / 'config.py').model.stages.classification.labels
    apis.train(config)
    store = PseudoLabelStore.load(folder / 'run/pseudo_labels/classification.json')
    assert len(store) == 6
    assert store.content['annotations']

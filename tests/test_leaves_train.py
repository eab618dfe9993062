"""Every config trains and predicts on toy data, reduced by one shared override."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import small
import torch
import toy
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from mmlabelpenet.apis import LabelPENetInferencer, load_config
from mmlabelpenet.apis.config import phase_lengths, stage_names
from mmlabelpenet.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[1]
LEAVES = [leaf for leaf in small.LEAVES if not small.is_retrained(leaf)]
SAMPLE = {  # one of each kind in the default run; all of them in the slow one
    *('labelpenet/labelpenet_lite0_rendered', 'labelpenet/labelpenet_vgg16_voc07', 'labelpenet/labelpenet_r50_voc12mini'),
    *('labelpenet/labelpenet_vgg16_voc07_recurrent', 'labelpenet/ablations/lite0_rendered_2_stages', 'wsddn/wsddn_lite0_rendered'),
    *('oicr/oicr_lite0_rendered', 'pcl/pcl_lite0_rendered'),
}
ON_TWO_RANKS = (
    *('labelpenet/labelpenet_lite0_rendered', 'labelpenet/labelpenet_vgg16_voc07', 'labelpenet/labelpenet_r101_voc12masks'),
    *('labelpenet/ablations/lite0_rendered_alternate', 'oicr/oicr_lite0_rendered'),
)


TRAINED: dict[str, str] = {}


def leaves():
    return [leaf if leaf.removeprefix('configs/')[:-3] in SAMPLE else pytest.param(leaf, marks=pytest.mark.slow) for leaf in LEAVES]


def on_toy_data(leaf, toy_root, work_dir):
    """A small leaf with four classes and two images; without what tests need."""
    config = small.small_config(leaf)
    config.model.num_classes = 4
    for loader in ('train_dataloader', 'label_dataloader'):
        toy_data = toy.dataset_config(toy_root)
        config[loader].dataset.update({key: toy_data[key] for key in ('data_root', 'split', 'proposals', 'metainfo')})
        config[loader].dataset.update(indices=2, serialize_data=False)  # which would collect garbage for a second
        config[loader].batch_size = 2
    config.test_dataloader = config.test_evaluator = config.test_cfg = config.load_from = None
    config.visualizer = None
    config.work_dir = str(work_dir)
    return config


@pytest.mark.parametrize('leaf', leaves())
def test_every_leaf_trains_an_iteration_of_each_phase_and_predicts(leaf, toy_root, tmp_path):
    config = on_toy_data(leaf, toy_root, tmp_path)
    config.default_hooks.checkpoint = None  # hundreds of megabytes
    content = {key: config.get(key) for key in ('model', 'train_dataloader', 'label_dataloader', 'train_cfg', 'optim_wrapper')}
    if TRAINED.setdefault(repr(content), leaf) != leaf:
        return  # on toy data it is another leaf, which has trained
    runner = Runner.from_cfg(config)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    moved = {name.split('.')[1] for name, value in runner.model.state_dict().items() if not torch.equal(value, before[name])}
    stages, phases = list(stage_names(config)), list(phase_lengths(config))
    assert set(stages if 'recurrent' in phases else phases) <= moved
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
    batch = next(iter(runner.train_loop.dataloader))
    found = runner.model.test_step(batch | dict(stages=stages))[0].stage_predictions
    assert list(found) == stages
    assert all(result.masks.shape[0] == len(result.bboxes) for result in found.values())


FAMILIES = (
    *('labelpenet/labelpenet_lite0_rendered', 'labelpenet/labelpenet_lite0_animals', 'labelpenet/labelpenet_vgg16_voc07'),
    *('labelpenet/labelpenet_r50_voc12mini', 'labelpenet/labelpenet_lite0_coco17', 'wsddn/wsddn_lite0_rendered'),
    *('oicr/oicr_lite0_animals', 'pcl/pcl_vgg16_voc07'),
)


@pytest.mark.parametrize('leaf', [*FAMILIES[:2], *(pytest.param(leaf, marks=pytest.mark.slow) for leaf in FAMILIES[2:])])
def test_the_inferencer_shows_what_testing_measures(leaf, toy_root, tmp_path, monkeypatch):
    config = on_toy_data(f'configs/{leaf}.py', toy_root, tmp_path)
    for name in stage_names(config):
        config.model.stages[name].detector.test_cfg.rcnn.score_thr = 0.0
    data = toy.dataset_config(toy_root, 'test', keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(dataset=dict(data, pipeline=config.label_dataloader.dataset.pipeline))
    config.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'iter_1.pth')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    given = dataset.get_data_info(0)['proposals']
    bboxes = given['bboxes'] if isinstance(given, dict) else given
    monkeypatch.setattr('mmlabelpenet.apis.inferencer.shrunk_search', lambda *args: bboxes)
    (expected,) = model.test_step(pseudo_collate([dataset[0]]))
    (found,) = LabelPENetInferencer(tmp_path / 'config.py', tmp_path / 'iter_1.pth')(expected.img_path, min_score=0, max_instances=1000)
    wanted = expected.pred_instances
    shown = len(found)
    assert 0 < shown <= len(wanted)  # of a stage that learns from tags the best five
    assert np.allclose(found.bboxes, wanted.bboxes.numpy()[:shown], atol=1e-3) and np.array_equal(
        found.labels, wanted.labels.numpy()[:shown]
    )
    assert np.allclose(found.scores, wanted.scores.numpy()[:shown], atol=1e-6)
    assert np.array_equal(found.masks, np.asarray(wanted.masks)[:shown])


@pytest.mark.slow
@pytest.mark.parametrize('leaf', ON_TWO_RANKS)
def test_a_leaf_trains_on_two_ranks(leaf, toy_root, tmp_path):
    path = tmp_path / f'{Path(leaf).name}.py'
    on_toy_data(f'configs/{leaf}.py', toy_root, tmp_path / 'run').dump(path)
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1', 'PORT': str(29600 + os.getpid() % 300)}
    command = ['bash', str(ROOT / 'tools/dist_train.sh'), str(path), '2', '--work-dir', str(tmp_path / 'run')]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    iters = len(phase_lengths(load_config(path)))
    assert (tmp_path / 'run' / f'iter_{iters}.pth').is_file()

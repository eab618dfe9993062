"""Every leaf config trains and predicts on toy data, made small by one shared override."""

from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmlabelpenet.apis import load_config
from mmlabelpenet.structures import STAGES

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/*.py') if path.parent.name != 'retrain')


def shrink(node):
    """Fewer and narrower layers, fewer RoIs, no weights from files; in place."""
    if isinstance(node, dict):
        for key, small in (('fc_out_channels', 16), ('max_per_img', 12), ('nms_pre', 50)):
            if key in node:
                node[key] = small
        if node.get('type') == 'MILBBoxHead':
            node['fc_channels'] = (16,) * len(node.get('fc_channels', (4096, 4096)))
        if node.get('type') == 'RandomChoiceResize':
            node['scales'] = [(128, 96)]
        node.pop('init_cfg', None)
        for value in node.values():
            shrink(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            shrink(value)


def small_config(leaf, toy_root, work_dir, iters=2):
    config = load_config(ROOT / leaf)
    shrink(config._cfg_dict)
    config.model.num_classes = 4
    for loader in ('train_dataloader', 'label_dataloader', 'test_dataloader'):
        toy_data = toy.dataset_config(toy_root, split='test' if loader == 'test_dataloader' else 'train')
        config[loader].num_workers = 0
        config[loader].dataset.update({key: toy_data[key] for key in ('data_root', 'split', 'proposals', 'metainfo')})
    config.train_dataloader.batch_size = 2
    config.label_dataloader.batch_size = 3
    config.train_cfg.phases = [dict(phase, iters=iters) for phase in config.train_cfg.phases]
    config.visualizer = None
    config.work_dir = str(work_dir)
    return Config(config.to_dict(), format_python_code=False)  # formatting would take most of the time


@pytest.mark.parametrize('leaf', LEAVES)
def test_every_leaf_trains_two_iterations_of_each_phase_and_predicts(leaf, toy_root, tmp_path):
    config = small_config(leaf, toy_root, tmp_path)
    config.test_dataloader = config.test_evaluator = config.test_cfg = None
    runner = Runner.from_cfg(config)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    moved = {name.split('.')[1] for name, value in runner.model.state_dict().items() if not torch.equal(value, before[name])}
    stages = [name for name in STAGES if name in config.model.stages]
    assert set(stages) <= moved
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
    batch = next(iter(runner.train_loop.dataloader))
    runner.model.predicted = stages
    found = runner.model.test_step(batch)[0].stage_predictions
    assert list(found) == stages
    assert all(result.masks.shape[0] == len(result.bboxes) for result in found.values())


@pytest.mark.parametrize('leaf', [leaf for leaf in LEAVES if 'labelpenet_vgg16' in leaf])
def test_the_papers_schedule_is_a_saw_tooth(leaf):
    init_default_scope('mmlabelpenet')
    config = load_config(ROOT / leaf)
    assert [(phase['name'], phase['iters']) for phase in config.train_cfg.phases] == [
        *((name, 50000) for name in STAGES),
        ('recurrent', 80000),
    ]
    expected = {0: 1e-3, 39999: 1e-3, 40000: 1e-4, 50000: 1e-3, 95000: 1e-4, 100000: 1e-3, 195000: 1e-4, 200000: 1e-4, 279999: 1e-4}
    for iteration, rate in expected.items():
        lr = config.optim_wrapper.optimizer.lr
        for scheduler in config.param_scheduler:
            lr *= scheduler.gamma ** sum(iteration >= milestone for milestone in scheduler.milestones)
        assert lr == pytest.approx(rate)

import cv2
import numpy as np
import pytest
import toy
from mmengine.registry import init_default_scope

from mmlabelpenet.models.inference.joint import JointReader
from mmlabelpenet.workbench.report.sample_panels_hook import SamplePanels, begun

PHASES = [('classification', 2), ('detection', 2)]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    init_default_scope('mmlabelpenet')
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def run(toy_root, folder, hooks):
    runner = toy.build_runner(toy.run_config(toy_root, folder, PHASES, hooks=hooks))
    runner.train()
    return runner


def test_training_with_panels_is_training_without_them(toy_root, tmp_path):
    plain = run(toy_root, tmp_path / 'plain', [])
    shown = run(toy_root, tmp_path / 'shown', [dict(type='SamplePanels', interval=1, images=1)])
    assert toy.different(toy.weights(plain.model), toy.weights(shown.model)) == []
    assert shown.model.training


def test_panels_of_the_same_images_come_every_interval(toy_root, tmp_path):
    run(toy_root, tmp_path, [dict(type='SamplePanels', interval=2, images=2, width=200)])
    files = sorted(path.name for path in (tmp_path / 'vis').iterdir())
    assert files == [f'train_0000{k}_iter_00000{n}.webp' for k in (0, 5) for n in (2, 4)]
    early, late = (cv2.imread(str(tmp_path / 'vis' / name)) for name in files[:2])
    assert early.shape[1] % 208 in (200, 0) or early.shape[1] >= 600
    assert late.shape[0] * late.shape[1] > early.shape[0] * early.shape[1]  # a stage more has begun to learn


def test_tensorboard_gets_panels_and_losses(toy_root, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    config = toy.run_config(toy_root, tmp_path, PHASES, hooks=[dict(type='SamplePanels', interval=2, images=1)])
    config.visualizer = dict(type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='TensorboardVisBackend')], name=str(tmp_path))
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    runner = toy.build_runner(config)
    runner.train()
    runner.visualizer.close()
    (folder,) = {path.parent for path in tmp_path.rglob('events.out.tfevents*')}
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    (panel,) = (events.Images(name) for name in events.Tags()['images'])
    assert events.Tags()['images'] == ['panel/train_00000'] and [event.step for event in panel] == [2, 4]
    image = cv2.imdecode(np.frombuffer(panel[1].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    written = cv2.imread(str(tmp_path / 'vis/train_00000_iter_000004.webp'))
    assert image.shape == written.shape and np.abs(image.astype(int) - written).mean() < 4  # the file is compressed
    assert {'classification.loss_mil', 'detection.loss_cls'} <= set(events.Tags()['scalars'])


def test_stages_that_have_not_begun_are_not_shown(toy_net):
    assert begun(toy_net, 'classification') == ['classification']
    assert begun(toy_net, 'refinement') == list(toy.STAGES[:3])
    assert begun(toy_net, 'recurrent') == list(toy.STAGES)
    assert begun(toy_net.to('cpu'), 'segmentation') == list(toy.STAGES)


def test_stages_without_those_that_they_need_are_not_shown(toy_net):
    toy_net.stages.classification.to('meta')  # idle
    assert begun(toy_net, 'refinement') == ['detection', 'refinement']
    toy_net.inference.tag_stage = toy_net.stages.classification
    assert begun(toy_net, 'refinement') == []
    toy_net.inference.tag_stage = None
    toy_net.reader = JointReader(toy_net.stages, consensus=True)
    toy_net.stages.detection.to('meta')
    assert begun(toy_net, 'segmentation') == []


@pytest.mark.parametrize('wrong', [dict(interval=0), dict(images=0)])
def test_numbers_below_one_are_an_error(wrong):
    with pytest.raises(ValueError, match='at least 1'):
        SamplePanels(**wrong)

"""The training loop: which stages train when, and that nothing is lost."""

import json
import multiprocessing
import re
import shutil
from pathlib import Path

import pytest
import torch
import toy
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from training import PHASES, killed, train

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.engine import label_pass, loops, warm_start
from mmlabelpenet.registry import HOOKS


@HOOKS.register_module(force=True)
class Snapshots(Hook):
    """Weights before the run and after every iteration, what was logged, and calls of hooks with the iterations done by then."""

    def before_train(self, runner):
        self.weights, self.logs, self.calls, self.updates = [toy.weights(runner.model)], [], [], []

    def before_train_epoch(self, runner):
        self.calls.append(('before_train_epoch', runner.iter))

    def before_phase(self, runner, phase):
        self.calls.append((f'before {phase.name}', runner.iter))

    def before_update(self, runner, trains):
        self.updates.append(trains)

    def after_train_iter(self, runner, batch_idx, outputs=None, **kwargs):
        self.weights.append(toy.weights(runner.model))
        self.logs.append(dict(outputs))

    def after_train_epoch(self, runner):
        self.calls.append(('after_train_epoch', runner.iter))

    def after_train(self, runner):
        self.calls.append(('after_train', runner.iter))


def snapshots(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, Snapshots))


@pytest.fixture(scope='module')
def whole(toy_root, tmp_path_factory):
    """The uninterrupted run of all phases."""
    said = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (label_pass, loops):
            patch.setattr(module, 'print_log', lambda text, *_, **__: said.append(text))
        runner = train(toy_root, tmp_path_factory.mktemp('whole'), hooks=[dict(type='Snapshots')])
    runner.said = said
    return runner


def test_no_loader_process_starts_before_its_phase(toy_root, tmp_path):
    config, before = toy.run_config(toy_root, tmp_path, [('classification', 1)], workers=1), {*multiprocessing.active_children()}
    runner = toy.build_runner(config)
    loop = runner.build_train_loop(runner._train_loop)
    assert loop.dataloader.num_workers == 1 and not {*multiprocessing.active_children()} - before


def parts(names):
    return {name.split('.')[1] if name.startswith('stages') else name.split('.')[0] for name in names}


def test_stage_after_stage_trains_then_all_together(whole):
    seen = snapshots(whole).weights
    moved = [parts(toy.different(a, b)) for a, b in zip(seen, seen[1:], strict=False)]
    expected = [{name} for name, iters in PHASES[:4] for _ in range(iters)] + [{'backbone', *toy.STAGES}] * 3
    assert moved == expected


def test_hooks_are_called_around_all_phases_and_before_each(whole):
    phases = [(f'before {name}', 3 * number) for number, (name, _) in enumerate(PHASES)]
    assert snapshots(whole).calls == [('before_train_epoch', 0), *phases, ('after_train_epoch', 15), ('after_train', 15)]
    assert snapshots(whole).updates == [name for name, _ in PHASES[:4] for _ in range(3)] + ['forward', 'backward'] * 3


def test_the_log_says_where_phases_begin_with_which_rate_and_what_was_labelled_before(whole):
    begins = [f'Phase {name}: 3 of 15 iterations, now at {3 * k}, learning rate 0.01' for k, (name, _) in enumerate(PHASES)]
    labelled = [f'{stage}: {PseudoLabelStore.load(path).summary()}, in {path}' for stage, path in stores(whole)]
    assert whole.said == [begins[0], begins[1], labelled[0], begins[2], labelled[1], begins[3], labelled[2], begins[4]]


def stores(runner):
    return [(stage, Path(runner.work_dir) / f'pseudo_labels/{stage}.json') for stage in toy.STAGES[:3]]


def test_each_phase_logs_its_own_losses_only(whole):
    for log, name in zip(snapshots(whole).logs, [name for name, iters in PHASES for _ in range(iters)], strict=True):
        stages = {key.split('.')[-2] for key in log if 'loss' in key and '.' in key and not key.endswith('ward.loss')}
        assert stages == (set(toy.STAGES) if name == 'recurrent' else {name})
    assert {key.split('.')[0] for key in log} == {'forward', 'backward'}


def test_the_losses_of_a_finished_phase_are_forgotten(whole):
    kept = [key for key in whole.message_hub.log_scalars if 'loss' in key]
    assert kept and all(key.startswith(('train/forward.', 'train/backward.')) for key in kept)


def test_directions_are_forgotten_too(whole):
    hub = MessageHub.get_current_instance()
    hub.update_scalar('train/forward.classification.loss_mil', 1.0)
    hub.update_scalar('train/lr', 1.0)
    whole.train_loop._forget_scalars()
    assert 'train/forward.classification.loss_mil' not in hub.log_scalars and 'train/lr' in hub.log_scalars


def test_the_optimizer_holds_every_parameter(whole):
    held = {id(p) for group in whole.optim_wrapper.param_groups for p in group['params']}
    assert held == {id(p) for p in whole.model.parameters()}


def test_a_recurrent_iteration_is_two_updates_and_a_cascade_iteration_one(toy_root, tmp_path, monkeypatch):
    steps = []
    real = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, 'step', lambda self, *args, **kwargs: steps.append(1) or real(self, *args, **kwargs))
    train(toy_root, tmp_path, phases=[('recurrent', 2), ('classification', 3)])
    assert len(steps) == 2 * 2 + 3


def test_training_the_same_again_with_another_number_of_workers_changes_no_bit(whole, toy_root, tmp_path):
    parallel = train(toy_root, tmp_path, workers=1)
    assert toy.different(toy.weights(whole.model), toy.weights(parallel.model)) == []


@pytest.mark.parametrize('tags', ['lists', 'xml'])
def test_poisoned_boxes_and_masks_of_training_images_change_no_bit(whole, toy_root, tmp_path, tags):
    root = tmp_path / 'rendered'
    shutil.copytree(toy_root, root)
    shutil.copy(toy_root.parent / 'train.npz', tmp_path)
    for number, path in enumerate(sorted((root / 'Annotations').glob('*.xml'))):
        text = path.read_text()
        if number % 2:
            text = re.sub('<bndbox>.*?</bndbox>', '', text)
        text = re.sub(r'<(xmin|ymin|xmax|ymax)>\d+<', r'<\1>nan<', text)
        path.write_text(text)
        for folder in ('SegmentationObject', 'SegmentationClass'):
            (root / folder / f'{path.stem}.png').unlink()
    if tags == 'lists':
        shutil.rmtree(root / 'Annotations')
    poisoned = train(root, tmp_path / 'run', dataset=dict(tags=tags))
    assert toy.different(toy.weights(whole.model), toy.weights(poisoned.model)) == []


def test_a_run_killed_in_every_phase_and_resumed_each_time_ends_with_the_same_bits(whole, toy_root, tmp_path):
    for iteration in (2, 4, 7, 9, 13):
        assert killed(toy_root, tmp_path, hooks=[dict(type='KillAt', iteration=iteration)], resume=True)
        last = int((tmp_path / 'last_checkpoint').read_text().split('iter_')[1].split('.')[0])
        assert last == max(iteration // 2 * 2, iteration // 3 * 3)  # every two iterations, and where a phase ends
    resumed = train(toy_root, tmp_path, resume=True)
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []
    for mine, theirs in zip(resumed.optim_wrapper.optimizer.state.values(), whole.optim_wrapper.optimizer.state.values(), strict=True):
        assert torch.equal(mine['momentum_buffer'], theirs['momentum_buffer'])


def test_labels_that_were_to_be_reused_are_still_there_after_a_kill(toy_root, tmp_path):
    settings = dict(phases=[('recurrent', 6)], refresh_interval=3)
    whole = train(toy_root, tmp_path / 'whole', **settings)
    assert any(left < 2 for left in (item['left'] for item in whole.model.label_cache.state_dict()))  # some were reused
    assert killed(toy_root, tmp_path / 'killed', hooks=[dict(type='KillAt', iteration=5)], **settings)
    resumed = train(toy_root, tmp_path / 'killed', resume=True, **settings)
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []


def test_a_run_killed_in_label_passes_and_resumed_ends_with_the_same_bits(whole, toy_root, tmp_path):
    for stage, images in dict(classification=3, refinement=None).items():
        assert killed(toy_root, tmp_path, stage=stage, images=images, resume=True)
        assert not (tmp_path / f'pseudo_labels/{stage}.json').exists()
    resumed = train(toy_root, tmp_path, resume=True)
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []


def test_a_phase_may_stand_alone_on_the_labels_of_the_weights_it_starts_from(toy_root, tmp_path):
    train(toy_root, tmp_path / 'first', phases=[('classification', 2), ('detection', 1)])
    config = toy.run_config(toy_root, tmp_path / 'alone', [('detection', 2)])
    config.train_cfg.phases.detection.pseudo_labels = f'{tmp_path}/first/pseudo_labels/classification.json'
    config.load_from = f'{tmp_path}/first/iter_2.pth'
    runner = toy.build_runner(config)
    runner.train()
    before = torch.load(config.load_from, weights_only=False)['state_dict']
    assert parts(toy.different(before, toy.weights(runner.model))) == {'detection'}
    assert not (tmp_path / 'alone/pseudo_labels').exists()


def test_a_warm_start_begins_with_the_weights_of_the_stage_before_and_says_of_how_many_tensors(toy_root, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(warm_start, 'print_log', lambda text, *_, **__: said.append(text))
    phases = [('classification', 1), ('detection', 2), ('refinement', 1, dict(warm_start=True))]
    config = toy.run_config(toy_root, tmp_path, phases)
    config.optim_wrapper.optimizer.lr = 0.0
    model = toy.build_runner(config).train()
    detection, refinement = (toy.weights(model.stages[name].detector) for name in ('detection', 'refinement'))
    alike = {name for name, value in detection.items() if name in refinement and value.shape == refinement[name].shape}
    assert {'rpn_head.rpn_conv.weight', 'roi_head.bbox_head.fc_cls.weight'} < alike < set(refinement)
    assert toy.different({n: detection[n] for n in alike}, {n: refinement[n] for n in alike}) == []
    assert f'{len(alike)} of {len(refinement)} tensors are initialised from the previous stage.' in said


def test_a_run_killed_in_a_phase_with_a_warm_start_ends_with_the_same_bits(toy_root, tmp_path):
    phases = [('classification', 1), ('detection', 2), ('refinement', 4, dict(warm_start=True))]
    whole = train(toy_root, tmp_path / 'whole', phases)
    for iteration in (3, 5):  # the last checkpoint is of before the phase, or of its middle
        hooks = [dict(type='KillAt', iteration=iteration)]
        assert killed(toy_root, tmp_path / 'killed', phases=phases, hooks=hooks, resume=True)
    resumed = train(toy_root, tmp_path / 'killed', phases, resume=True)
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []


def test_a_named_store_of_another_checkpoint_is_refused_unless_any_maker_will_do(whole, toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, [('detection', 2)])
    phase = config.train_cfg.phases.detection
    phase.pseudo_labels = f'{whole.work_dir}/pseudo_labels/classification.json'
    with pytest.raises(ValueError, match='generated by the classification stage of another checkpoint.*load_from.*any_maker'):
        toy.build_runner(config).train()
    phase.any_maker = True
    assert toy.build_runner(config).train() is not None
    content = json.loads(Path(phase.pseudo_labels).read_text())
    del content['info']['weights']
    phase.pseudo_labels, phase.any_maker = f'{tmp_path}/elsewhere.json', False
    Path(phase.pseudo_labels).write_text(json.dumps(content))
    assert toy.build_runner(config).train() is not None


def test_a_nan_loss_stops_and_keeps_the_last_checkpoint(toy_root, tmp_path):
    @HOOKS.register_module(name='Poison', force=True)
    class Poison(Hook):
        def before_train_iter(self, runner, batch_idx, **kwargs):
            if batch_idx == 5:
                torch.nn.init.constant_(runner.model.stages['detection'].detector.roi_head.bbox_head.fc_cls.bias, float('nan'))

    with pytest.raises(FloatingPointError, match=r"detection\.loss_cls is not finite for images \['train_\d+', 'train_\d+'\]"):
        train(toy_root, tmp_path, hooks=[dict(type='Poison')])
    path = (tmp_path / 'last_checkpoint').read_text()
    assert path.endswith('iter_4.pth')
    weights = torch.load(path, weights_only=False)['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_phase_of_a_stage_that_the_model_lacks_is_refused_before_training(toy_root, tmp_path):
    with pytest.raises(ValueError, match="'refinement'.*classification, detection"):
        train(toy_root, tmp_path, phases=[('classification', 1), ('refinement', 1)], stages=('classification', 'detection'))
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(train_cfg=dict(phases=dict(classification=None))), 'at least one phase'),
        (dict(train_cfg=dict(max_iters=5)), 'instead of max_iters'),
        *(
            (dict(train_cfg=dict(phases=dict(classification=rate)), param_scheduler=[dict(type='LinearLR')]), 'Learning rates .* twice')
            for rate in (dict(lr=0.1), dict(milestones=[0.5]), dict(warmup=1))
        ),
        (
            dict(train_dataloader=dict(sampler=dict(type='InfiniteSampler', _delete_=True))),
            'The sampler must be resumable, got InfiniteSampler',
        ),
        (dict(train_dataloader=dict(num_workers=1, persistent_workers=True)), 'persistent_workers'),
    ],
)
def test_loops_that_cannot_work_are_refused(toy_root, tmp_path, change, message):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    config.merge_from_dict(change)
    with pytest.raises(ValueError, match=message):
        toy.build_runner(config).train()

"""Learning rates of a training that is resumed under another config."""

from types import SimpleNamespace

import pytest
import toy
from mmengine.hooks import Hook

from mmlabelpenet.engine.hooks.planned_rates import PlannedRatesHook
from mmlabelpenet.registry import HOOKS


@HOOKS.register_module(force=True)
class Rates(Hook):
    """The rate of every update."""

    def before_train(self, runner):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, **kwargs):
        self.rates[batch_idx] = runner.optim_wrapper.get_lr()['lr'][0]


def train(toy_root, folder, iterations, milestones, load_from=None, planned=True):
    config = toy.run_config(toy_root, folder, [('classification', iterations)], hooks=[dict(type='Rates')])
    config.param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=milestones, gamma=0.5)]
    config.default_hooks.param_scheduler = dict(type='ParamSchedulerHook')
    config.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=10)
    if not planned:
        config.default_hooks.pop('planned_rates')
    config.load_from, config.resume = load_from, load_from is not None
    runner = toy.build_runner(config)
    runner.train()
    return runner, next(hook for hook in runner.hooks if type(hook).__name__ == 'Rates').rates


@pytest.fixture(scope='module')
def whole(toy_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('rates') / 'whole'
    return folder, *train(toy_root, folder, 6, milestones=[1, 3, 5])


def test_a_run_that_goes_on_after_its_end_has_the_rates_and_the_bits_of_a_longer_one(whole, toy_root, tmp_path):
    _, runner, rates = whole
    assert [rates[k] for k in range(6)] == pytest.approx([0.01, 0.005, 0.005, 0.0025, 0.0025, 0.00125])
    train(toy_root, tmp_path / 'short', 2, milestones=[1])
    longer, after = train(toy_root, tmp_path / 'longer', 6, [1, 3, 5], load_from=str(tmp_path / 'short/iter_2.pth'))
    assert after == {k: rates[k] for k in range(2, 6)}
    assert toy.different(toy.weights(runner.model), toy.weights(longer.model)) == []


def test_without_the_hook_the_rate_would_stay(whole, toy_root, tmp_path):
    train(toy_root, tmp_path / 'short', 2, milestones=[1])
    _, after = train(toy_root, tmp_path / 'longer', 6, [1, 3, 5], load_from=str(tmp_path / 'short/iter_2.pth'), planned=False)
    assert set(after.values()) == {0.005}  # should mmengine change this, the hook can go


def test_milestones_that_the_config_moves_count_from_there_on(whole, toy_root, tmp_path):
    folder, *_ = whole
    _, after = train(toy_root, tmp_path / 'moved', 6, milestones=[1, 4], load_from=str(folder / 'iter_2.pth'))
    assert [after[k] for k in range(2, 6)] == pytest.approx([0.005, 0.005, 0.0025, 0.0025])


def test_only_resuming_and_only_plans_are_changed():
    state = dict(end=2, milestones={1: 1}, last_step=1, _global_step=2, _last_value=[0.005], base_values=[0.01])
    plan = dict(state, end=6, milestones={3: 1}, last_step=0, _global_step=1, _last_value=[0.01])
    scheduler = SimpleNamespace(state_dict=lambda: plan)
    for schedulers, states in (([scheduler], [dict(state)]), (dict(one=[scheduler]), dict(one=[dict(state)]))):
        checkpoint = dict(param_schedulers=states)
        found = states[0] if isinstance(states, list) else states['one'][0]
        PlannedRatesHook().after_load_checkpoint(SimpleNamespace(_resume=False, param_schedulers=schedulers), checkpoint)
        assert found == state
        PlannedRatesHook().after_load_checkpoint(SimpleNamespace(_resume=True, param_schedulers=schedulers), checkpoint)
        assert found == dict(state, end=6, milestones={3: 1})
    PlannedRatesHook().after_load_checkpoint(SimpleNamespace(_resume=True, param_schedulers=None), checkpoint)
    PlannedRatesHook().after_load_checkpoint(SimpleNamespace(_resume=True, param_schedulers=[scheduler]), {})

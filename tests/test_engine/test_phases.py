"""Phases and their learning rates."""

import math
import shutil
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mmlabelpenet.engine.phases import Phase, PhaseLR, check_place, check_schedulers, locate, make_phases
from mmlabelpenet.registry import HOOKS


def test_phases_say_what_trains_in_which_iteration():
    assert [Phase('recurrent', 4, alternate=True).trains(i) for i in range(3)] == [('forward',), ('backward',), ('forward',)]
    assert Phase('recurrent', 4, directions=['forward']).trains(7) == ('forward',)
    assert Phase('segmentation', 4).trains(9) == ('segmentation',)


def test_phases_come_in_the_order_of_the_stages_and_recurrent_fine_tuning_last():
    phases = dict(recurrent=dict(iters=1), polish=dict(iters=2), detection=dict(iters=3), refinement=None)
    assert [phase.name for phase in make_phases(phases, ['detection', 'refinement', 'polish'])] == ['detection', 'polish', 'recurrent']


@pytest.mark.parametrize(
    ('iteration', 'expected'),
    [(0, ('classification', 0)), (9, ('classification', 9)), (10, ('detection', 0)), (31, ('recurrent', 1)), (32, ('recurrent', 2))],
)
def test_an_iteration_lies_in_its_phase(iteration, expected):
    phase, number = locate([Phase('classification', 10), Phase('detection', 20), Phase('recurrent', 2)], iteration)
    assert (phase.name, number) == expected


@pytest.mark.parametrize(
    ('phases', 'error', 'message'),
    [
        (dict(classification=dict(iters=1, warm_start=True)), ValueError, 'no previous stage to start from'),
        (dict(recurrent=dict(iters=1, warm_start='last.pth')), ValueError, "'recurrent' continues with the weights of all stages"),
        (dict(detection=dict(iters=1, warm_start=2)), ValueError, "Phase 'detection' is malformed .*warm_start"),
        (
            dict(segmentaton=dict(iters=1)),
            ValueError,
            r"Phases \['segmentaton'\] do not match a stage.*classification, detection, refinement",
        ),
        (dict(detection=dict(iters=0)), ValueError, 'at least one iteration, got 0'),
        (dict(recurrent=dict(iters=1, directions=['upward'])), ValueError, r"Unknown directions \['upward'\]"),
        (dict(detection=dict(iters=2.5)), ValueError, "Phase 'detection' is malformed .Expected `int`, got `float` - at `.*iters"),
        (dict(detection=dict(iters=2, lr='')), ValueError, "Phase 'detection' is malformed .*got `str` - at `.*lr"),
        (dict(detection=dict(iters=2, iter=3)), ValueError, "Phase 'detection' is malformed .*unknown field `iter`"),
        (dict(recurrent=dict(iters=1, directions=[])), ValueError, 'at least one of the directions .forward. and .backward., got none'),
        (dict(recurrent=dict(iters=1, pseudo_labels='a.json')), ValueError, "Phase 'recurrent' does not read pseudo_labels. Remove it."),
        (dict(detection=dict(iters=1, alternate=True)), ValueError, "Phase 'detection' does not read alternate. Remove it."),
        (dict(detection=dict(iters=1, gamma=math.nan)), ValueError, "gamma of phase 'detection' must be finite and at least 0, got nan"),
        (dict(detection=dict(iters=1, lr=math.inf)), ValueError, "lr of phase 'detection' must be finite and at least 0, got inf"),
        (dict(detection=None), ValueError, 'at least one phase'),
        ([dict(name='detection', iters=1)], TypeError, 'a dict by name.*got list'),
    ],
)
def test_phases_that_cannot_be_are_refused(phases, error, message):
    with pytest.raises(error, match=message):
        make_phases(phases, toy.STAGES)


def test_a_phase_that_is_about_to_begin_may_be_another_one():
    done = dict(classification=9, detection=2)
    check_place([Phase('classification', 9), Phase('refinement', 2)], done, 9)
    with pytest.raises(ValueError, match='written after 10 iterations .* detection would start at another iteration'):
        check_place([Phase('classification', 9), Phase('refinement', 2)], done, 10)


def test_groups_keep_their_multiples_of_the_rate():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([dict(params=weights[:1]), dict(params=weights[1:], lr=1.0)], lr=0.1)
    scheduler, rates = PhaseLR(OptimWrapper(optimizer), [Phase('classification', 2), Phase('detection', 4, lr=0.5, milestones=[1])]), []
    for _ in range(5):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    torch.testing.assert_close(torch.tensor(rates).T, torch.tensor([[0.1, 0.1, 0.5, 0.05, 0.05], [1, 1, 5, 0.5, 0.5]]))


@HOOKS.register_module(force=True)
class Rates(Hook):
    """The rate of every update."""

    def before_train(self, runner):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, **kwargs):
        self.rates[batch_idx] = runner.optim_wrapper.get_lr()['lr'][0]


def train(toy_root, folder, phases, load_from=None):
    config = toy.run_config(toy_root, folder, phases, hooks=[dict(type='Rates')])
    config.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=10)
    config.load_from, config.resume = load_from, load_from is not None
    runner = toy.build_runner(config)
    runner.train()
    return runner, next(hook for hook in runner.hooks if type(hook).__name__ == 'Rates').rates


@pytest.fixture(scope='module')
def whole(toy_root, tmp_path_factory):
    folder, phases = (
        tmp_path_factory.mktemp('rates') / 'whole',
        [('classification', 4, dict(milestones=[1, 3])), ('detection', 2, dict(lr=0.02))],
    )
    return folder, phases, *train(toy_root, folder, phases)


def test_every_phase_has_its_own_rate_and_milestones_count_from_its_begin(whole):
    assert list(whole[3].values()) == pytest.approx([0.01, 0.001, 0.001, 0.0001, 0.02, 0.02])


@pytest.mark.parametrize('milestones', [[0.8], [8]])
def test_milestones_are_shares_of_a_phase_or_iterations(milestones):
    rates = [Phase('detection', 10, lr=1.0, milestones=milestones).rate(iteration, base=5.0) for iteration in range(10)]
    assert rates == [1.0] * 8 + [0.1] * 2


@pytest.mark.parametrize('milestone', [0, -1, 1.5, math.nan, math.inf])
def test_a_milestone_that_is_neither_is_refused(milestone):
    with pytest.raises(ValueError, match=f"milestones of phase 'detection' must be fractions .*, got {milestone}"):
        Phase('detection', 10, milestones=[milestone])


@pytest.mark.parametrize('done', [2, 5])
def test_a_run_that_goes_on_after_its_end_has_the_rates_and_the_bits_of_a_longer_one(whole, toy_root, tmp_path, done):
    _, phases, runner, rates = whole
    short = [('classification', 2, dict(milestones=[1]))] if done == 2 else [phases[0], ('detection', 1, dict(lr=0.02))]
    train(toy_root, tmp_path / 'short', short)
    labels = tmp_path / 'short/pseudo_labels'
    if labels.exists():
        shutil.copytree(labels, tmp_path / 'longer/pseudo_labels')
    longer, after = train(toy_root, tmp_path / 'longer', phases, load_from=str(tmp_path / f'short/iter_{done}.pth'))
    assert after == {k: rates[k] for k in range(done, 6)}
    assert toy.different(toy.weights(runner.model), toy.weights(longer.model)) == []


def test_a_resumed_run_follows_the_rates_of_its_own_config(whole, toy_root, tmp_path):
    folder = whole[0]
    phases = [('classification', 5, dict(lr=0.03, milestones=[4])), ('detection', 1)]
    _, after = train(toy_root, tmp_path / 'moved', phases, load_from=str(folder / 'iter_2.pth'))
    assert list(after.values()) == pytest.approx([0.03, 0.03, 0.003, 0.01])


def test_schedulers_that_are_built_already_are_asked_whether_they_count_epochs():
    check_schedulers([SimpleNamespace(by_epoch=False), SimpleNamespace()])
    with pytest.raises(ValueError, match='SimpleNamespace in param_scheduler counts epochs'):
        check_schedulers([SimpleNamespace(by_epoch=False), SimpleNamespace(by_epoch=True)])

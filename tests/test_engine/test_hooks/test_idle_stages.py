"""The device of each stage."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.model import MMDistributedDataParallel
from torch import nn
from training import PHASES, train

from mmlabelpenet.engine.hooks import idle_stages
from mmlabelpenet.engine.hooks.idle_stages import IdleStagesHook, place
from mmlabelpenet.models.inference.joint import JointReader


class Stages(nn.Module):
    def __init__(self, shared=False):
        super().__init__()
        self.stages = nn.ModuleDict({name: nn.Sequential(nn.Linear(2, 2)) for name in toy.STAGES})
        if shared:
            for stage in self.stages.values():
                stage[0] = self.stages['classification'][0]


def devices(model):
    return {name: next(stage.parameters()).device.type for name, stage in model.stages.items()}


@pytest.mark.parametrize('kind', [partial(torch.optim.SGD, momentum=0.9), torch.optim.Adam, partial(torch.optim.Adam, fused=True)])
@pytest.mark.parametrize('needed', [['detection'], ['classification', 'refinement'], list(toy.STAGES)])
def test_needed_stages_are_on_the_device_and_the_others_on_the_cpu_with_their_momentum(needed, kind):
    model = Stages()
    optimizer = kind(model.parameters(), lr=0.1)
    sum(stage(torch.ones(1, 2)).sum() for stage in model.stages.values()).backward()
    optimizer.step()
    parameters = list(model.parameters())
    place(model, needed, 'meta', optimizer)  # a second device that every machine has
    assert {name for name, device in devices(model).items() if device == 'meta'} == set(needed)
    for before, now in zip(parameters, model.parameters(), strict=True):
        moments = {key: value.device for key, value in optimizer.state[before].items()}
        step = moments.pop('step', torch.device('cpu'))  # a number, which Adam keeps on the CPU unless it is fused
        assert step == (now.device if optimizer.defaults.get('fused') else torch.device('cpu'))
        assert set(moments.values()) == {now.device}
        assert before is now or now.is_meta  # on a real device they stay the same objects


def test_a_shared_part_goes_where_it_is_needed():
    model = Stages(shared=True)
    place(model, ['refinement'], 'meta', torch.optim.SGD(model.parameters(), lr=0.1))
    assert set(devices(model).values()) == {'meta'}


def test_the_loop_says_who_is_needed_when(toy_root, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(idle_stages, 'place', lambda model, needed, device, optimizer: calls.append(tuple(needed)))
    train(toy_root, tmp_path, phases=[(name, 1) for name, _ in PHASES], hooks=[dict(type='IdleStagesHook')])
    one, two, three, four = ((name,) for name in toy.STAGES)
    assert calls == [one, one, two, two, three, three, four, tuple(toy.STAGES)]


def test_a_label_pass_also_needs_the_stages_that_score_together(toy_net, monkeypatch):
    calls = []
    monkeypatch.setattr(idle_stages, 'place', lambda model, needed, *_: calls.append(needed))
    runner = SimpleNamespace(model=toy_net, optim_wrapper=SimpleNamespace(optimizer=None))
    for consensus in (False, True):
        toy_net.reader = JointReader(toy_net.stages, consensus=consensus)
        IdleStagesHook().before_label_pass(runner, 'refinement')
    assert calls == [['refinement'], ['refinement', 'detection']]


def test_all_stages_are_there_in_validation_and_only_the_needed_one_after_it(monkeypatch):
    monkeypatch.setattr(idle_stages, 'get_device', lambda: 'meta')
    model, hook = Stages(), IdleStagesHook()
    wrapper = SimpleNamespace(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    runner, found = SimpleNamespace(model=model, optim_wrapper=wrapper), []
    for move in (lambda: hook.before_phase(runner, SimpleNamespace(name='detection')), lambda: hook.before_val(runner)):
        move()
        found.append({name for name, device in devices(model).items() if device == 'meta'})
    assert found == [{'detection'}, set(toy.STAGES)]
    calls = []
    monkeypatch.setattr(idle_stages, 'place', lambda model, needed, *_: calls.append(needed))  # nothing comes back from meta
    hook.after_val(runner)
    assert calls == [['detection']]


def test_several_ranks_are_refused(monkeypatch):
    class Wrapped(MMDistributedDataParallel):
        def __init__(self):
            nn.Module.__init__(self)

    with pytest.raises(ValueError, match='only one GPU'):
        IdleStagesHook().before_train(type('Runner', (), dict(model=Wrapped())))

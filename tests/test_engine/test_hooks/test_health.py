"""Non-finite gradients, and gradient norms."""

import re
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.hooks import Hook
from training import train

from mmlabelpenet.engine.hooks.health import HealthHook, parameters_by_part
from mmlabelpenet.engine.precision import MixedPrecisionWrapper
from mmlabelpenet.registry import HOOKS


@HOOKS.register_module(force=True)
class BadGradient(Hook):
    """In one iteration a gradient becomes infinite on its way back, while every loss is fine."""

    def before_train_iter(self, runner, batch_idx, **kwargs):
        if batch_idx == 4:
            weight = runner.model.stages['detection'].detector.roi_head.bbox_head.fc_cls.weight
            weight.register_hook(lambda gradient: gradient * float('inf'))
            self.before = toy.weights(runner.model)


def test_a_bad_gradient_stops_before_the_update_and_names_iteration_phase_stage_and_images(toy_root, tmp_path):
    hook = dict(type='BadGradient')
    kept = []
    HOOKS.get('BadGradient').after_train_iter = lambda self, runner, *args, **kwargs: kept.append(toy.weights(runner.model))
    message = r"Iteration 4 of phase detection: the gradient of detection is not finite for images \['train_\d+', 'train_\d+'\].*stages.det"
    with pytest.raises(FloatingPointError, match=message):
        train(toy_root, tmp_path, phases=[('classification', 3), ('detection', 3)], hooks=[hook])
    assert len(kept) == 4 and (tmp_path / 'last_checkpoint').read_text().endswith('iter_4.pth')


@pytest.mark.parametrize('clip', [None, dict(max_norm=0.5)])
@pytest.mark.parametrize('fused', [False, True])
def test_in_float16_an_overflow_is_skipped_and_norms_are_those_without_the_loss_scale(fused, clip):
    model, norms = torch.nn.Linear(2, 1), []
    model.stages = torch.nn.ModuleDict()
    wrapper = MixedPrecisionWrapper('fp16', optimizer=torch.optim.AdamW(model.parameters(), lr=1.0, fused=fused), clip_grad=clip)
    hub = SimpleNamespace(update_scalar=lambda name, value: norms.append((name, value)))
    HealthHook().before_train(SimpleNamespace(model=model, optim_wrapper=wrapper, message_hub=hub))
    before = toy.weights(model)
    wrapper.update_params(model(torch.ones(1, 2)).sum() * 3e38)
    assert toy.different(before, toy.weights(model)) == [] and norms == []
    wrapper.update_params(model(torch.ones(1, 2)).sum())
    assert toy.different(before, toy.weights(model)) == ['weight', 'bias']
    assert norms == [('train/backbone.grad_norm', pytest.approx(0.5 if clip else 3**0.5, rel=1e-4))]


def test_the_message_counts_what_is_not_finite_alone():
    hook, parameters = HealthHook(), {name: torch.nn.Parameter(torch.zeros(2)) for name in 'abcd'}
    hook.batch, parameters['a'].grad = None, torch.ones(2)
    assert re.search(r'images \[\] .*\(0 parameters, ', hook._message('x', parameters))
    parameters['c'].grad, parameters['d'].grad = torch.tensor([0.0, float('nan')]), torch.full((2,), float('inf'))
    assert re.search(r'\(2 parameters, .* c\)', hook._message('x', parameters))


def test_norms_of_what_trains_are_logged_and_those_of_finished_stages_are_not(toy_root, tmp_path):
    runner = train(toy_root, tmp_path, phases=[('classification', 2), ('detection', 2)])
    assert [key for key in runner.message_hub.log_scalars if 'grad_norm.' in key or key.endswith('.grad_norm')] == [
        'train/detection.grad_norm'
    ]


def test_a_logged_norm_is_that_of_all_gradients_of_the_part(toy_root, tmp_path):
    runner = train(toy_root, tmp_path, phases=[('recurrent', 1)])
    scalars = {key: runner.message_hub.get_scalar(key).current() for key in runner.message_hub.log_scalars}
    parts = ('backbone', *toy.STAGES)
    forward = [scalars[f'train/forward.{part}.grad_norm'] for part in parts]
    backward = [scalars[f'train/backward.{part}.grad_norm'] for part in parts[:-1]]
    assert 'train/backward.segmentation.grad_norm' not in scalars
    total = scalars['train/grad_norm']  # mmengine's, of the last update, before clipping
    assert torch.tensor(backward).norm().item() == pytest.approx(min(total, 10), rel=1e-4) and all(norm > 0 for norm in forward)


def test_every_parameter_belongs_to_one_part(toy_net):
    parts = parameters_by_part(toy_net)
    names = [name for part in parts.values() for name in part]
    assert sorted(names) == sorted(name for name, _ in toy_net.named_parameters())
    assert all(name.startswith('backbone.') for name in parts['backbone'])
    assert all(name.startswith('stages.refinement.') for name in parts['refinement'])

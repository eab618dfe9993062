"""Layers that run otherwise give the same."""

from types import SimpleNamespace

import pytest
import torch
import toy
from devices import losses, network

from mmlabelpenet.workbench.variants.fast_layers import FastLayersHook, layers


def changed(**settings):
    model = network('cpu')
    FastLayersHook(**settings).before_run(SimpleNamespace(model=model))
    return model


def gradients(model, stage):
    found = losses(model, stage)
    sum(found.values()).backward()
    return found | {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def same(model, stage):
    found, expected = gradients(model, stage), gradients(network('cpu'), stage)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('stage', ['classification', 'segmentation'])
def test_channels_last_layers_have_the_losses_and_gradients_of_others(stage):
    model = changed(channels_last=True)
    seen = []
    model.backbone.register_forward_hook(lambda _, __, maps: seen.append(maps[-1].is_contiguous(memory_format=torch.channels_last)))
    same(model, stage)
    assert all(seen) and seen and model.stages['detection'].detector.backbone.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_compiled_layers_have_the_losses_and_gradients_and_the_names_of_others(monkeypatch):
    compiled = torch.compile
    monkeypatch.setattr(torch, 'compile', lambda call, dynamic: compiled(call, dynamic=dynamic, backend='eager'))  # no compiler is needed
    model = changed(compile=True)
    assert all(module._compiled_call_impl is not None for module in layers(model)) and len(layers(model)) == 5
    assert model.state_dict().keys() == network('cpu').state_dict().keys()
    same(model, 'detection')


def test_the_layers_of_a_wrapped_model_change():
    wrapper = torch.nn.Module()
    wrapper.module = network('cpu')
    FastLayersHook(channels_last=True).before_run(SimpleNamespace(model=wrapper))
    assert wrapper.module.backbone.first.weight.is_contiguous(memory_format=torch.channels_last)


def test_layers_that_stages_share_count_once():
    model = toy.build(toy.model_config())
    model.stages['detection'].detector.backbone = model.stages['classification'].detector.backbone
    assert len(layers(model)) == 4


def test_a_hook_that_would_do_nothing_is_refused():
    with pytest.raises(ValueError, match='does nothing'):
        FastLayersHook()

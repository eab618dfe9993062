"""Excitation backprop through convolutions, residual blocks and average pooling."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmlabelpenet.workbench.variants.conv_excitation import (
    LinearStep,
    conv_inputs,
    excite,
    excite_average_pool,
    excite_bottleneck,
    excite_pooled_layer,
    folded_weight,
)

from mmdet.models.backbones.resnet import BasicBlock, Bottleneck  # isort: skip  (after our kernels)
from mmdet.models.layers import ResLayer  # isort: skip

GEOMETRIES = [
    dict(kernel_size=1),
    dict(kernel_size=1, stride=2),
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, padding=2, dilation=2),
    dict(kernel_size=3, stride=2, padding=1, groups=2),
    dict(kernel_size=2, stride=3, groups=4),
]


def layer4(seed, blocks=2, stride=2, style='caffe', excited=True):
    """A small ResNet layer in evaluation mode; with ``excited`` every neuron has a positive input behind a positive weight."""
    torch.manual_seed(seed)
    layer = ResLayer(Bottleneck, 8, 4, blocks, stride=stride, dilation=1, style=style).eval()
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean)
            nn.init.constant_(module.bias, 9.0 if excited else 0.0)
    if excited:
        for conv, norm in pairs(layer):
            with torch.no_grad():
                conv.weight[:, 0] = conv.weight[:, 0].abs() * norm.weight.sign()[:, None, None]
    return layer


def pairs(layer):
    for block in layer:
        yield from ((block.conv1, block.norm1), (block.conv2, block.norm2), (block.conv3, block.norm3))
        if block.downsample is not None:
            yield tuple(block.downsample)


def dense(step, shape):
    """The step as a matrix from its flattened input to its flattened output, from its answers to unit inputs."""
    units = torch.eye(shape[0] * shape[1] * shape[2]).view(-1, *shape)
    if step.conv is None:
        return units.flatten(1).T
    conv = step.conv
    return F.conv2d(units, step.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups).flatten(1).T


def slow_excitation(inputs, matrices, probability):
    """Neuron by neuron: each shares its probability among all inputs, of all steps, by what excited it."""
    shared = [[0.0] * len(x) for x in inputs]
    for i, share in enumerate(probability.tolist()):
        parts = [[max(a, 0) * max(w, 0) for a, w in zip(x.tolist(), m[i].tolist(), strict=True)] for x, m in zip(inputs, matrices)]
        total = sum(map(sum, parts))
        if total > 0:
            for into, part in zip(shared, parts, strict=True):
                for j, value in enumerate(part):
                    into[j] += share * value / total
    return [torch.tensor(values) for values in shared]


def slow_layer(layer, x, pooled):
    """One proposal through a layer, from the pooled outputs back, neuron by neuron."""
    inputs, output = conv_inputs(layer, x)
    positions = output[0].flatten(1)
    matrix = torch.eye(len(positions)).repeat_interleave(positions.shape[1], 1)
    (mass,) = slow_excitation([positions.flatten()], [matrix], pooled)
    for block in reversed(layer):
        first, second, third = (
            LinearStep(inputs[conv], conv, folded_weight(conv, norm))
            for conv, norm in ((block.conv1, block.norm1), (block.conv2, block.norm2), (block.conv3, block.norm3))
        )
        down = block.downsample
        shortcut = LinearStep(first.x) if down is None else LinearStep(first.x, down[0], folded_weight(*down))
        steps = [third, shortcut]
        hidden, direct = slow_excitation([s.x.flatten() for s in steps], [dense(s, s.x.shape[1:]) for s in steps], mass)
        for step in (second, first):
            (hidden,) = slow_excitation([step.x.flatten()], [dense(step, step.x.shape[1:])], hidden)
        mass = hidden + direct
    return mass.view(x.shape[1:])


def autograd_excitation(steps, probability):
    """The same as a gradient: a * d/da of sum(P log z), with z the sum of all steps and P held fixed."""
    inputs = [step.x.clone().requires_grad_() for step in steps]
    z = 0
    for step, x in zip(steps, inputs, strict=True):
        conv = step.conv
        z = z + (x if conv is None else F.conv2d(x, step.weight.clamp(min=0), None, conv.stride, conv.padding, conv.dilation, conv.groups))
    slopes = torch.autograd.grad((probability * z.log()).sum(), inputs)
    return [(x * slope).detach() for x, slope in zip(inputs, slopes, strict=True)]


def random_step(geometry, seed=0):
    torch.manual_seed(seed)
    conv = nn.Conv2d(4, 8, bias=False, **geometry)
    return LinearStep(torch.rand(2, 4, 6, 5) + 0.01, conv, torch.randn_like(conv.weight))


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_a_convolution_equals_an_autograd_form(geometry):
    step = random_step(geometry)
    probability = torch.rand_like(step.excitation())
    torch.testing.assert_close(excite([step], probability), autograd_excitation([step], probability))


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_a_convolution_equals_a_slow_loop_over_neurons(geometry):
    step = random_step(geometry)
    step = step._replace(x=step.x[:1] - 0.4)  # some negative
    step.weight[3] = -step.weight[3].abs()  # neurons that nothing excites
    probability = torch.rand_like(step.excitation())
    (slow,) = slow_excitation([step.x.flatten()], [dense(step, step.x.shape[1:])], probability.flatten())
    torch.testing.assert_close(excite([step], probability)[0].flatten(), slow)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_a_convolution_keeps_its_mass_where_every_neuron_is_excited(geometry):
    step = random_step(geometry)
    assert step.excitation().min() > 0
    probability = torch.rand_like(step.excitation())
    (mass,) = excite([step], probability)
    torch.testing.assert_close(mass.sum((1, 2, 3)), probability.sum((1, 2, 3)))


def test_the_sum_of_two_branches_is_one_linear_layer_on_both():
    first, second = random_step(dict(kernel_size=3, padding=1)), LinearStep(torch.rand(2, 8, 6, 5))
    probability = torch.rand(2, 8, 6, 5)
    found = excite([first, second], probability)
    torch.testing.assert_close(found, autograd_excitation([first, second], probability))
    torch.testing.assert_close(sum(part.sum() for part in found), probability.sum())


def test_folding_gives_what_convolution_and_normalisation_give_without_their_biases():
    (conv, norm), x = next(pairs(layer4(0))), torch.randn(2, 8, 4, 4)
    folded = F.conv2d(x, folded_weight(conv, norm), stride=conv.stride)
    torch.testing.assert_close(folded, norm(conv(x)) - norm(conv(torch.zeros_like(x))))


@pytest.mark.parametrize('norm', [nn.GroupNorm(2, 4), nn.BatchNorm2d(4, track_running_stats=False)])
def test_a_normalisation_that_depends_on_its_input_is_refused(norm):
    with pytest.raises(TypeError, match='fixed statistics'):
        folded_weight(nn.Conv2d(4, 4, 1), norm)


@pytest.mark.parametrize('style', ['caffe', 'pytorch'])
@pytest.mark.parametrize('stride', [1, 2])
def test_a_layer_keeps_its_mass_where_every_neuron_is_excited(style, stride):
    layer = layer4(0, stride=stride, style=style)
    x, probability = torch.rand(3, 8, 6, 4) + 0.01, torch.rand(3, 16)
    mass = excite_pooled_layer(layer, x, probability)
    assert mass.shape == x.shape and mass.min() >= 0
    torch.testing.assert_close(mass.sum((1, 2, 3)), probability.sum(1))


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('stride', [1, 2])
def test_a_layer_equals_a_slow_loop_over_neurons(seed, stride):
    layer = layer4(seed, stride=stride, excited=False)
    x, probability = torch.randn(1, 8, 4, 3), torch.rand(1, 16)  # negative inputs, neurons at zero
    fast = excite_pooled_layer(layer, x, probability)
    assert 0 < fast.sum() < probability.sum()
    torch.testing.assert_close(fast[0], slow_layer(layer, x, probability[0]))


@pytest.mark.parametrize('stride', [1, 2])
def test_a_block_equals_an_autograd_form(stride):
    (block,) = layer = layer4(1, blocks=1, stride=stride)
    x = torch.rand(2, 8, 6, 6) + 0.01
    inputs, output = conv_inputs(layer, x)
    probability = torch.rand_like(output)
    steps = [LinearStep(inputs[conv], conv, folded_weight(conv, norm)) for conv, norm in list(pairs(layer))[:3]]
    hidden, direct = autograd_excitation([steps[2], LinearStep(x, block.downsample[0], folded_weight(*block.downsample))], probability)
    for step in (steps[1], steps[0]):
        (hidden,) = autograd_excitation([step], hidden)
    torch.testing.assert_close(excite_bottleneck(block, inputs, probability), hidden + direct)


def test_what_enters_the_convolutions_of_a_block_is_what_the_block_computes_with():
    layer, x = layer4(2, blocks=1, excited=False), torch.randn(2, 8, 6, 6)
    (block,) = layer
    inputs, output = conv_inputs(layer, x)
    hidden = F.relu(block.norm1(block.conv1(x)))
    torch.testing.assert_close(inputs[block.conv1], x)
    torch.testing.assert_close(inputs[block.conv2], hidden)
    torch.testing.assert_close(inputs[block.conv3], F.relu(block.norm2(block.conv2(hidden))))
    torch.testing.assert_close(output, layer(x))


def test_negative_inputs_excite_nothing():
    layer = layer4(0)
    x = torch.rand(1, 8, 4, 4) + 0.01
    x[:, 3] = -5
    assert excite_pooled_layer(layer, x, torch.rand(1, 16))[:, 3].abs().max() == 0


def test_other_blocks_are_refused():
    layer = ResLayer(BasicBlock, 8, 8, 1).eval()
    with pytest.raises(TypeError, match='BasicBlock'):
        excite_pooled_layer(layer, torch.rand(1, 8, 4, 4), torch.rand(1, 8))
    layer = ResLayer(Bottleneck, 8, 4, 1, stride=2, avg_down=True).eval()
    with pytest.raises(TypeError, match='another build'):
        excite_pooled_layer(layer, torch.rand(1, 8, 4, 4), torch.rand(1, 16))


def test_an_output_that_is_zero_everywhere_drops_its_share():
    mass = excite_average_pool(torch.tensor([[[[0.0, 0.0]], [[1.0, 3.0]]]]), torch.tensor([[0.5, 0.5]]))
    assert mass.flatten().tolist() == [0, 0, 0.125, 0.375]


def test_a_negative_place_gets_no_share_of_a_mean():
    assert excite_average_pool(torch.tensor([[[[-1.0, 2.0]]]]), torch.ones(1, 1)).flatten().tolist() == [0, 1]

"""Excitation backprop in closed form."""

import pytest
import torch
import toy
from torch import nn
from torch.nn import functional as F

from mmlabelpenet.calibration import excitation
from mmlabelpenet.calibration.excitation import excitation_backprop, recorded
from mmlabelpenet.models.mil_head import MILBBoxHead
from mmlabelpenet.models.weighted_heads import WeightedBBoxHead


def random_stack(seed, widths=(12, 8, 6, 5), rows=4):
    """Inputs (some zero, as after a ReLU) and weights of both signs; every neuron has some positive weight."""
    torch.manual_seed(seed)
    inputs = [torch.randn(rows, width).clamp(min=0) + 0.01 for width in widths[:-1]]
    weights = [torch.randn(n_out, n_in) for n_in, n_out in zip(widths, widths[1:], strict=False)]
    return inputs, weights, torch.rand(rows, widths[-1])


def slow_excitation(inputs, weights, start):
    """Eq. of Zhang et al., neuron by neuron: each winner shares its probability among the inputs that excited it."""
    result = []
    for row in range(len(start)):
        probability = start[row].tolist()
        for x, weight in zip(reversed(inputs), reversed(weights), strict=True):
            shared = [0.0] * x.shape[1]
            for i, share in enumerate(probability):
                parts = [max(float(x[row, j]), 0) * max(float(weight[i, j]), 0) for j in range(x.shape[1])]
                if sum(parts) > 0:
                    for j, part in enumerate(parts):
                        shared[j] += share * part / sum(parts)
            probability = shared
        result.append(probability)
    return torch.tensor(result)


def autograd_excitation(inputs, weights, start):
    """The same as a gradient: a * d/da of sum(P log z), with z = W+ a and P held fixed."""
    probability = start
    for x, weight in zip(reversed(inputs), reversed(weights), strict=True):
        x = x.clone().requires_grad_()
        z = F.linear(x, weight.clamp(min=0))
        (slope,) = torch.autograd.grad((probability.detach() * z.log()).sum(), x)
        probability = (x * slope).detach()
    return probability


@pytest.mark.parametrize('seed', range(4))
def test_mass_is_kept_where_every_neuron_is_excited(seed):
    inputs, weights, start = random_stack(seed)
    mass = excitation_backprop(inputs, weights, start)
    assert mass.min() >= 0
    torch.testing.assert_close(mass.sum(1), start.sum(1))


@pytest.mark.parametrize('seed', range(4))
def test_it_equals_an_autograd_form(seed):
    inputs, weights, start = random_stack(seed)
    torch.testing.assert_close(excitation_backprop(inputs, weights, start), autograd_excitation(inputs, weights, start))


@pytest.mark.parametrize('rows', [1, 3, 256])
@pytest.mark.parametrize('seed', range(4))
def test_it_equals_a_slow_loop_over_neurons_whatever_number_is_taken_at_a_time(seed, rows, monkeypatch):
    monkeypatch.setattr(excitation, '_ROWS', rows)
    inputs, weights, start = random_stack(seed)
    inputs = [x - 0.4 for x in inputs]  # some negative
    weights[1][2] = -weights[1][2].abs()  # a neuron that nothing excites
    torch.testing.assert_close(excitation_backprop(inputs, weights, start), slow_excitation(inputs, weights, start))


def test_only_the_share_of_neurons_that_nothing_excites_is_lost():
    mass = excitation_backprop([torch.tensor([[1.0, 2.0]])], [torch.tensor([[-1.0, 0.0], [1.0, 1.0]])], torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(mass, torch.tensor([[0.25, 0.5]]))


def test_negative_activations_excite_nothing():
    mass = excitation_backprop([torch.tensor([[-5.0, 1.0, 3.0]])], [torch.tensor([[2.0, 1.0, 1.0]])], torch.ones(1, 1))
    assert mass.tolist() == [[0.0, 0.25, 0.75]]


def test_it_does_not_depend_on_the_scale_of_inputs_or_weights():
    inputs, weights, start = random_stack(0)
    scaled = excitation_backprop([x * 1e4 for x in inputs], [w * 1e-3 for w in weights], start)
    torch.testing.assert_close(scaled, excitation_backprop(inputs, weights, start))


def test_half_precision_inputs_are_computed_in_single_precision():
    inputs, weights, start = random_stack(0)
    mass = excitation_backprop([x.half() for x in inputs], [w.half() for w in weights], start.half())
    assert mass.dtype == torch.float32
    torch.testing.assert_close(mass.sum(1), start.half().float().sum(1))


def test_a_layer_without_input_is_refused():
    with pytest.raises(ValueError, match='2 inputs and 3 layers'):
        excitation_backprop([torch.zeros(1, 2)] * 2, [torch.zeros(2, 2)] * 3, torch.zeros(1, 2))


def heads():
    coder = dict(type='DeltaXYWHBBoxCoder')
    box = dict(in_channels=3, roi_feat_size=4, num_classes=5, num_shared_fcs=2, fc_out_channels=128, bbox_coder=coder)
    centred = MILBBoxHead(5, 3, 4, (), roi_norm=dict(type='CentredNorm'))
    return [MILBBoxHead(5, 3, 4, (128, 128)), MILBBoxHead(5, 3, 4, ()), WeightedBBoxHead(**box), centred]


@pytest.mark.parametrize('number', range(4))
def test_there_is_a_relu_between_the_recorded_layers_and_none_before_the_first_or_after_the_last(number):
    torch.manual_seed(number)
    head = heads()[number].eval()
    *between, last = head.linear_layers()
    feats = torch.randn(2, 3, 4, 4)
    with recorded(head.linear_layers()) as record:
        head(feats)
    x, (*hidden, logits) = head.first_input(feats), [values for (values,) in record]
    for layer, found in zip(between, hidden, strict=True):
        x = F.relu(layer(x))
        torch.testing.assert_close(found, x)
    torch.testing.assert_close(logits, last(x))


@pytest.mark.parametrize('number', range(4))
def test_the_mass_of_a_map_is_the_class_probability(number):
    torch.manual_seed(number)
    head = heads()[number]
    if isinstance(head, MILBBoxHead):
        head.learn_norm([torch.rand(9, 3, 4, 4)])  # a mean to subtract, for the one that has a norm
    head.eval()
    for layer in head.linear_layers():
        nn.init.normal_(layer.weight, std=0.3)
    feats, labels = torch.rand(6, 3, 4, 4), torch.tensor([0, 1, 2, 3, 4, 0])
    maps, probs = toy.attention_of(head, feats, labels)
    assert maps.shape == (6, 4, 4) and maps.min() >= 0
    torch.testing.assert_close(maps.sum((1, 2)), probs[torch.arange(6), labels])
    torch.testing.assert_close(probs, head.class_probs(head(feats)[0]))


def test_class_probabilities_of_the_classification_stage_leave_the_background_output_out():
    head = MILBBoxHead(3, 2, 1, ())
    assert head.class_probs(torch.tensor([[0.0, 0.0, 0.0, 50.0]])).tolist() == [pytest.approx([1 / 3] * 3)]


def test_class_probabilities_of_a_box_head_share_with_the_background():
    probs = WeightedBBoxHead.class_probs(torch.tensor([[0.0, 0.0, 0.0, 0.0]]))
    assert probs.tolist() == [[0.25, 0.25, 0.25]]


def test_the_map_lies_where_the_evidence_is():
    head = MILBBoxHead(2, 1, 3, ())
    nn.init.constant_(head.fc_cls.weight, 0.1)
    feats = torch.zeros(1, 1, 3, 3)
    feats[0, 0, 2, 1] = 4
    maps, _ = toy.attention_of(head, feats, torch.tensor([1]))
    assert maps[0].nonzero().tolist() == [[2, 1]]

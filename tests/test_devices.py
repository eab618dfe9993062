"""The simulated device rejects the same operations as a GPU, and computes the same results as the CPU."""

import pytest
import torch
from devices import PRETENDED, pretended


@pytest.fixture(autouse=True)
def _pretended():
    with pretended():
        yield


def test_tensors_of_two_devices_refuse_to_meet():
    there = torch.rand(3, 4).to(PRETENDED)
    for wrong in (lambda: there + torch.ones(4), lambda: torch.cat([there, torch.ones(3, 4)]), lambda: there.mul_(torch.ones(4))):
        with pytest.raises(RuntimeError, match='tensors of two devices'):
            wrong()
    with pytest.raises(RuntimeError):
        torch.ones(4)[there[0].long()]
    for array in (lambda: there.numpy(), lambda: torch.zeros(2).numpy() + there.numpy()):
        with pytest.raises(RuntimeError):
            array()


def test_what_a_gpu_allows_is_allowed():
    plain = torch.rand(3, 4)
    there = plain.to(PRETENDED)
    assert (there + torch.tensor(1.0)).device.type == PRETENDED and there.cpu().device.type == 'cpu'
    assert torch.equal(there[torch.tensor([2, 0])].cpu(), plain[[2, 0]])
    assert torch.equal(there[there > 0.5].cpu(), plain[plain > 0.5]) and there.tolist() == plain.tolist()
    assert there.new_tensor([1.0]).device == torch.zeros(2, device=there.device).device == torch.tensor([1], device=PRETENDED).device
    there[0] = 2
    there[:, torch.tensor([1])] = 3
    assert there[:2, :2].tolist() == [[2, 3], [there[1, 0].item(), 3]]
    assert torch.zeros(3, 4).copy_(there)[0, 0] == 2


def test_results_are_those_of_the_cpu_in_place_by_lists_and_operators():
    plain = torch.arange(12).view(3, 4)
    there = plain.to(PRETENDED)
    for function in (
        lambda x: x[[2, 0]],
        lambda x: x[:, range(2)],
        lambda x: (x << 2) | x,
        lambda x: x.clone().add_(x),
        lambda x: torch.add(x, x, out=torch.empty_like(x)),
    ):
        assert function(there).device.type == PRETENDED and torch.equal(function(there).cpu(), function(plain))


def test_gradients_are_those_of_the_cpu():
    torch.manual_seed(0)
    layer, x = torch.nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    layer(x).square().sum().backward()
    expected = layer.weight.grad.clone()
    layer.zero_grad()
    layer.to(PRETENDED)(x.to(PRETENDED)).square().sum().backward()
    assert layer.weight.grad.device.type == PRETENDED and torch.equal(layer.weight.grad.cpu(), expected)

"""Training on a GPU gives the same results as on the CPU: kernels, losses and gradients, checkpoints, mixed precision, one rank.

Each test also runs without a GPU, on a simulated device or the CPU, to verify the test itself.
"""

import copy

import pytest
import torch
import toy
from devices import elsewhere, in_its_place, losses, network
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch.nn import functional as F

from mmlabelpenet.engine.precision import DTYPES, MixedPrecisionWrapper
from mmlabelpenet.ops.permutohedral import build_lattice
from mmlabelpenet.ops.roi_products import roi_align_gradient
from mmlabelpenet.ops.sparse import SparseMatrix, resize
from mmlabelpenet.workbench.experiments.memory import synthetic_batch


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def boxes(count, side=60.0):
    corner = random(count, 2, seed=1) * side * 0.6
    return torch.cat([corner, corner + random(count, 2, seed=2) * side * 0.4 + 1], 1)


def rois(count, device):
    return torch.cat([(torch.arange(count) % 2).float()[:, None], boxes(count)], 1).to(device)


def with_gradient(function, device, *shapes):
    """The output of a function of random tensors, and the gradients of a weighted sum of it."""
    leaves = [random(*shape, seed=3 + k).to(device).requires_grad_() for k, shape in enumerate(shapes)]
    found = function(*leaves)
    (found * random(*found.shape, seed=9).to(device)).sum().backward()
    return [found.detach(), *(leaf.grad for leaf in leaves)]


def suppressed(device):
    from mmcv.ops import nms, soft_nms

    hard, kept = nms(boxes(50).to(device), random(50, seed=5).to(device), 0.4)
    soft, _ = soft_nms(boxes(50).to(device), random(50, seed=5).to(device), 0.4, method='linear')
    return [hard, kept, soft]


def aligned(device):
    from mmcv.ops import roi_align

    return with_gradient(lambda feats: roi_align(feats, rois(9, device), 7, 0.25, 2, 'avg', True), device, (2, 3, 16, 16))


def pooled(device):
    from mmcv.ops import roi_pool

    return with_gradient(lambda feats: roi_pool(feats, rois(9, device), 7, 0.25), device, (2, 3, 16, 16))


def attended(device):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    shapes, starts = torch.tensor([[6, 8], [3, 4]], device=device), torch.tensor([0, 48], device=device)
    sizes = ((2, 60, 2, 4), (2, 5, 2, 2, 3, 2), (2, 5, 2, 2, 3))
    return with_gradient(lambda v, places, w: MultiScaleDeformableAttnFunction.apply(v, shapes, starts, places, w, 64), device, *sizes)


def products(device):
    return [roi_align_gradient(random(9, 3, 7, 7).to(device), rois(9, device), torch.Size((2, 3, 16, 16)), 0.25, 2, False)]


def sparse(device):
    dense = random(40, 30) * (random(40, 30, seed=1) < 0.3)
    small, large = (resize(random(40, 60, 3).to(device), size).contiguous() for size in ((20, 30), (55, 90)))
    return [SparseMatrix.from_dense(dense.to(device)) @ random(30, 3, seed=2).to(device), small, large]


def lattice(device):
    return [build_lattice((random(5, 300) * 4).to(device)).filter(random(300, 3, seed=1).to(device))]


@elsewhere
@pytest.mark.parametrize('kernel', [suppressed, aligned, pooled, attended, products, sparse, lattice], ids=lambda kernel: kernel.__name__)
def test_kernels_and_their_gradients_are_those_of_the_cpu(device, kernel):
    for found, expected in zip(kernel(device), kernel('cpu'), strict=True):
        assert found.device.type == device and expected.abs().sum() > 0
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


@elsewhere
@pytest.mark.parametrize('stage', toy.STAGES)
def test_losses_and_gradients_of_a_stage_are_those_of_the_cpu(device, stage):
    both = []
    for place in (device, 'cpu'):
        model = network(place)
        found = losses(model, stage)
        sum(found.values()).backward()
        both.append((found, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (found, gradients), (expected, exact) = both
    assert found.keys() == expected.keys() and gradients.keys() == exact.keys() and found
    for name, value in expected.items():
        assert found[name].device.type == device
        torch.testing.assert_close(found[name].detach().cpu(), value.detach(), rtol=1e-2, atol=1e-3)
    for name, value in exact.items():
        assert (gradients[name].cpu() - value).norm() <= 0.05 * value.norm() + 1e-4, name


VARIANTS = pytest.mark.parametrize(
    ('place', 'change'),
    [
        ('bbox_head', dict(refinement=dict(type='OICRBranches'))),
        ('bbox_head', dict(refinement=dict(type='PCLBranches'))),
        ('bbox_head', dict(mil_loss=dict(type='WSDDNLoss'))),
        ('bbox_head', dict(mil_loss=dict(type='MILSigmoidLoss'))),
        (None, dict(tag_head=dict(type='TagHead', in_channels=12))),
        (None, dict(chunk=8)),
    ],
    ids=['oicr', 'pcl', 'wsddn', 'sigmoid', 'tag-head', 'chunks'],
)


def variant(place, change):
    config = toy.model_config()
    head = config['stages']['classification']['detector']['roi_head']
    (head if place is None else head[place]).update(change)
    return toy.build(config)


@elsewhere
@VARIANTS
def test_losses_of_variants_are_those_of_the_cpu(device, place, change):
    found, expected = (losses(variant(place, change).to(each), 'classification') for each in (device, 'cpu'))
    assert found.keys() == expected.keys() and found
    for name, value in expected.items():
        assert found[name].device.type == device
        torch.testing.assert_close(found[name].detach().cpu(), value.detach(), rtol=1e-2, atol=1e-3)


@in_its_place
@VARIANTS
def test_variants_learn_in_mixed_precision(device, place, change, monkeypatch):
    whole = F.binary_cross_entropy

    def refused(*args, **kwargs):
        if torch.is_autocast_enabled(device):
            raise RuntimeError('A GPU refuses binary_cross_entropy in mixed precision.')  # the CPU would not
        return whole(*args, **kwargs)

    monkeypatch.setattr(F, 'binary_cross_entropy', refused)
    model = variant(place, change).to(device)
    with torch.autocast(device, torch.bfloat16):
        found = losses(model, 'classification')
    assert found and all(value.isfinite() for value in found.values())
    sum(found.values()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def optimizer(model, dtype=None):
    sgd = torch.optim.SGD(model.parameters(), lr=1e-4)
    return OptimWrapper(sgd) if dtype is None else MixedPrecisionWrapper(dtype, optimizer=sgd)


@in_its_place
@pytest.mark.parametrize('dtype', DTYPES)
def test_mixed_precision_has_the_losses_of_float32_and_moves_finite_weights(device, dtype, monkeypatch):
    monkeypatch.setattr('mmlabelpenet.engine.precision.get_device', lambda: device)
    model = network(device)
    before, wrapper = toy.weights(model), optimizer(model, dtype)
    for trains in ('classification', 'segmentation'):
        torch.manual_seed(0)
        data = synthetic_batch(4, (toy.HEIGHT, toy.WIDTH), 30, 2)
        exact = {name: float(value.detach()) for name, value in losses(network(device), trains).items()}
        torch.manual_seed(0)
        logs = model.train_step(data | dict(trains=trains), wrapper)
        for name, value in exact.items():
            assert float(logs[name].detach()) == pytest.approx(value, rel=0.1, abs=0.02), name
    after = toy.weights(model)
    assert toy.different(before, after)
    assert all(value.isfinite().all() and value.dtype == before[name].dtype for name, value in after.items())


@elsewhere
@pytest.mark.parametrize('direction', ['forward', 'backward'])
def test_a_recurrent_iteration_has_finite_losses_and_moves_stages(device, direction):
    model = network(device)
    before = toy.weights(model)
    logs = model.train_step(synthetic_batch(4, (toy.HEIGHT, toy.WIDTH), 30, 1) | dict(trains=direction), optimizer(model))
    found = [value for name, value in logs.items() if 'loss' in name]
    assert found and all(value.isfinite().all() and value.device.type == device for value in found)
    after = toy.weights(model)
    assert any(name.startswith('stages.segmentation' if direction == 'forward' else 'stages.') for name in toy.different(before, after))
    assert all(value.isfinite().all() for value in after.values())


@in_its_place
def test_a_checkpoint_goes_from_device_to_cpu_and_back(device, tmp_path):
    model, other = network(device), toy.build(toy.model_config(), seed=1)
    torch.save(model.state_dict(), tmp_path / 'device.pth')
    other.load_state_dict(torch.load(tmp_path / 'device.pth', map_location='cpu', weights_only=True))
    torch.save(other.state_dict(), tmp_path / 'cpu.pth')
    back = network(device)
    back.load_state_dict(torch.load(tmp_path / 'cpu.pth', map_location=device, weights_only=True))
    assert toy.different(toy.weights(model), toy.weights(back)) == []
    first, second = (losses(copy.deepcopy(found), 'classification') for found in (model, other))
    for name, value in first.items():
        torch.testing.assert_close(value.detach().cpu(), second[name].detach(), rtol=1e-3, atol=1e-4)


@in_its_place
def test_one_rank_trains_as_no_rank_does(device, tmp_path):
    backend = 'nccl' if device == 'cuda' else 'gloo'
    torch.distributed.init_process_group(backend, init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        alone, ranked = network(device), network(device)
        wrapped = MMDistributedDataParallel(ranked, device_ids=[0] if device == 'cuda' else None, find_unused_parameters=True)
        for model, steps in ((alone, alone), (ranked, wrapped)):
            torch.manual_seed(0)
            steps.train_step(synthetic_batch(4, (toy.HEIGHT, toy.WIDTH), 30, 2) | dict(trains='detection'), optimizer(model))
    finally:
        torch.distributed.destroy_process_group()
    for name, value in toy.weights(alone).items():
        torch.testing.assert_close(ranked.state_dict()[name], value, rtol=1e-4, atol=1e-6)

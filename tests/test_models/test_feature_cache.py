"""Maps of frozen layers on disk."""

import copy
import errno
import os
import subprocess
from pathlib import Path

import pytest
import torch
import toy
from mmdet.models.backbones import ResNet
from mmengine.logging import MMLogger
from training import killed, train

from mmlabelpenet.models import feature_cache
from mmlabelpenet.models.feature_cache import FeatureCache, MapKey
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants import EfficientNetLite0C4, EfficientNetLite0Tail, ResNetC4, ResNetC5


def total(losses):
    return sum(sum(v) if isinstance(v, (list, tuple)) else v for k, v in losses.items() if 'loss' in k)


@pytest.fixture
def image():
    return torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def counted(module):
    """A list that grows with every forward pass of a module."""
    calls = []
    module.register_forward_hook(lambda *args: calls.append(1))
    return calls


def test_a_map_is_computed_once_and_its_bits_do_not_depend_on_what_is_stored(toy_net, image, tmp_path):
    calls = counted(toy_net.backbone)
    key, first = FeatureCache(tmp_path).shared(toy_net.backbone, image)
    again, read = FeatureCache(tmp_path).shared(toy_net.backbone, image)
    assert len(calls) == 1 and key == again and torch.equal(first, read) and first.dtype == torch.float16
    _, fresh = FeatureCache(tmp_path / 'none', max_gib=0).shared(toy_net.backbone, image)
    assert len(calls) == 2 and torch.equal(fresh, first) and not (tmp_path / 'none').exists()
    assert first.stride() == read.stride() == fresh.stride()  # the layout decides how what follows is rounded
    torch.testing.assert_close(first.float(), toy_net.backbone(image)[-1], rtol=1e-3, atol=1e-3)


def test_maps_have_the_precision_of_the_cache_also_in_mixed_precision(toy_net, image, tmp_path):
    with torch.autocast('cpu'):
        _, found = FeatureCache(tmp_path).shared(toy_net.backbone, image)
    assert torch.equal(found, toy_net.backbone(image)[-1].half())


@pytest.mark.parametrize(('lacking', 'stored'), [(0, 1), (1, 0)])
def test_a_map_that_fills_the_room_is_stored(toy_net, image, tmp_path, lacking, stored):
    size = 2 * toy_net.backbone(image)[-1].numel()  # bytes
    FeatureCache(tmp_path, max_gib=(size - lacking) / 2**30).shared(toy_net.backbone, image)
    assert len(list(tmp_path.rglob('*.map'))) == stored


def test_only_the_latest_maps_stay_in_memory(toy_net, image, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, '_RECENT', 2)
    calls, cache = counted(toy_net.backbone), FeatureCache(tmp_path, max_gib=0)
    for number, computed in ((0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (0, 4)):
        cache.shared(toy_net.backbone, image + number)
        assert len(calls) == computed


@pytest.mark.parametrize('change', ['weights', 'weights behind the counter', 'buffers', 'pixels', 'flip', 'size'])
def test_other_weights_or_pixels_have_another_map(toy_net, image, tmp_path, change):
    backbone = torch.nn.Sequential(toy_net.backbone.first, torch.nn.BatchNorm2d(toy_net.backbone.first.out_channels)).eval()
    backbone.forward = lambda x, forward=backbone.forward: (forward(x),)
    cache = FeatureCache(tmp_path)
    key, _ = cache.shared(backbone, image)
    if change == 'weights':
        with torch.no_grad():
            backbone[0].weight[0] += 1e-3
    elif change == 'weights behind the counter':
        backbone[0].weight.data = backbone[0].weight.data * 2
    elif change == 'buffers':
        backbone[1].running_mean += 1
    image = dict(pixels=image + 1e-3, flip=image.flip(-1), size=image.view(1, 3, 64, 48)).get(change, image)
    other, found = cache.shared(backbone, image)
    assert other != key
    torch.testing.assert_close(found.float(), backbone(image)[0].detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        (lambda: EfficientNetLite0C4(), lambda: EfficientNetLite0C4(out_stride=8)),
        (lambda: EfficientNetLite0C4(), lambda: EfficientNetLite0C4(padding='same')),
        (lambda: ResNetC4(out_stride=16), lambda: ResNetC4(out_stride=8)),
        (lambda: ResNetC4(style='caffe'), lambda: ResNetC4(style='pytorch')),
        (lambda: ResNet(50, out_indices=(0, 1)), lambda: ResNet(50, out_indices=(0,))),
    ],
    ids=['stride', 'padding', 'dilation', 'style', 'layer'],
)
def test_other_layers_of_the_same_weights_have_another_map(tmp_path, image, first, second):
    """Trainings share a cache, and ImageNet's weights fit networks of several strides."""
    torch.manual_seed(0)
    one, two = first(), second()
    for net in (one, two):
        net.eval()  # mmdet's returns nothing
    two.load_state_dict(one.state_dict())
    cache = FeatureCache(tmp_path)
    cache.shared(one, image)
    torch.testing.assert_close(cache.shared(two, image)[1].float(), two(image)[-1].detach(), rtol=1e-2, atol=1e-2)


def test_other_tails_of_the_same_weights_have_another_map(tmp_path):
    torch.manual_seed(0)
    one, two = (EfficientNetLite0Tail(frozen=True, stride=stride).eval() for stride in (1, 2))
    two.load_state_dict(one.state_dict())
    feature, key, cache = torch.rand(1, 112, 4, 6).half(), MapKey('weights', 'pixels', store=True), FeatureCache(tmp_path)
    cache.inner(one, [key], [feature])
    assert cache.inner(two, [key], [feature])[0].shape[-2:] == (2, 3)


@pytest.mark.parametrize('damage', [b'', b'short', None])
def test_a_damaged_entry_is_computed_again_and_written_again(toy_net, image, tmp_path, damage):
    _, expected = FeatureCache(tmp_path).shared(toy_net.backbone, image)
    (path,) = tmp_path.rglob('*.map')
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    assert torch.equal(FeatureCache(tmp_path).shared(toy_net.backbone, image)[1], expected) and path.read_bytes() == whole


@pytest.mark.parametrize('limit', ['size', 'disk'])
def test_where_there_is_no_room_it_says_so_once_and_goes_on(toy_net, image, tmp_path, monkeypatch, caplog, limit):
    MMLogger.get_instance('feature_cache').addHandler(caplog.handler)

    def full(self, data):
        raise OSError(errno.ENOSPC, 'No space left on device')

    if limit == 'disk':
        monkeypatch.setattr(Path, 'write_bytes', full)
    cache = FeatureCache(tmp_path, max_gib=20 if limit == 'disk' else 1e-6)
    maps = [cache.shared(toy_net.backbone, image + number)[1] for number in range(3)]
    assert len(maps) == 3 and not list(tmp_path.rglob('*.map')) and not list(tmp_path.rglob('*.partial'))
    said = [record.message for record in caplog.records if 'feature cache' in record.message]
    assert len(said) == 1 and ('No space left' if limit == 'disk' else 'max_gib') in said[0]


def test_what_is_there_already_counts_towards_the_size(toy_net, image, tmp_path):
    FeatureCache(tmp_path).shared(toy_net.backbone, image)
    size = sum(path.stat().st_size for path in tmp_path.rglob('*.map'))
    FeatureCache(tmp_path, max_gib=1.5 * size / 2**30).shared(toy_net.backbone, image + 1)
    assert len(list(tmp_path.rglob('*.map'))) == 1
    with pytest.raises(ValueError, match='max_gib must be at least 0, got -1'):
        FeatureCache(tmp_path, max_gib=-1)
    with pytest.raises(ValueError, match='max_gib must be finite and at least 0, got inf'):
        FeatureCache(tmp_path, max_gib=float('inf'))
    with pytest.raises(ValueError, match='dir of the feature cache must name a folder, got an empty text'):
        FeatureCache('')


@pytest.mark.parametrize(('ranks', 'maps'), [(1, 4), (2, 2)])
def test_ranks_share_the_room(toy_net, image, tmp_path, monkeypatch, ranks, maps):
    FeatureCache(tmp_path / 'one').shared(toy_net.backbone, image)
    size = sum(path.stat().st_size for path in (tmp_path / 'one').rglob('*.map'))
    monkeypatch.setattr(feature_cache, 'get_world_size', lambda: ranks)
    cache = FeatureCache(tmp_path / 'all', max_gib=4.5 * size / 2**30)
    for number in range(9):
        cache.shared(toy_net.backbone, image + number)
    assert len(list((tmp_path / 'all').rglob('*.map'))) == maps


def test_the_processes_of_a_label_pass_share_the_room(toy_net, image, tmp_path):
    FeatureCache(tmp_path / 'one').shared(toy_net.backbone, image)
    size = sum(path.stat().st_size for path in (tmp_path / 'one').rglob('*.map'))
    cache = FeatureCache(tmp_path / 'all', max_gib=4.5 * size / 2**30)

    def add(*numbers):
        for number in numbers:
            cache.shared(toy_net.backbone, image + number)

    add(0)
    for numbers in ((1, 2), (3, 4)):
        if not (process := os.fork()):
            add(*numbers)
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
    add(5, 6)
    assert len(list((tmp_path / 'all').rglob('*.map'))) == 4


@pytest.mark.parametrize(
    'tail', [lambda: EfficientNetLite0Tail(frozen=True, aspp=dict(channels=4, out_channels=8)), lambda: ResNetC5(frozen=True)]
)
def test_tails_of_the_same_weights_share_their_maps_and_learn_behind_them(tmp_path, tail):
    torch.manual_seed(0)
    first = tail().train()
    second, cache = copy.deepcopy(first), FeatureCache(tmp_path)
    channels = 112 if isinstance(first, EfficientNetLite0Tail) else 1024
    feature, key = torch.rand(1, channels, 4, 5).half(), MapKey('weights', 'pixels', store=True)
    (inner,) = cache.inner(first, [key], [feature])
    if second.aspp is not None:
        torch.nn.init.normal_(second.aspp.fuse.weight)  # what trains behind the frozen layers changes no map
    for net, reader in ((second, FeatureCache(tmp_path)), (second, cache), (first, cache)):
        assert torch.equal(reader.inner(net, [key], [feature])[0], inner)
    assert len(list(tmp_path.rglob('*.map'))) == 1
    feature, inner = feature.float(), inner.float()
    torch.testing.assert_close(first((feature, inner))[-1], first(feature)[-1], rtol=1e-2, atol=1e-2)
    assert not inner.requires_grad and first((feature, inner))[-1].requires_grad == (first.aspp is not None)


@pytest.mark.parametrize('trains', [*toy.STAGES, 'forward', 'backward'])
def test_losses_with_a_cache_are_those_of_maps_in_16_bits(toy_batch, tmp_path, trains):
    """Against maps in 32 bits they differ by some percent: proposals and labels of nearly equal score take each other's place."""
    plain, cached = (
        toy.build(toy.model_config(frozen_backbone=True, **more)) for more in ({}, dict(feature_cache=dict(dir=str(tmp_path))))
    )
    plain.extract_feat = lambda images, exact=plain.extract_feat: exact(images).half().float()
    values = []
    for net in (plain, cached, cached):
        torch.manual_seed(0)
        values.append(total(net.loss(*copy.deepcopy(toy_batch), trains=trains)))
    assert torch.equal(values[0], values[1]) and torch.equal(values[1], values[2]) and list(tmp_path.rglob('*.map'))


@pytest.mark.parametrize('trains', [*toy.STAGES, 'forward'])
def test_what_pads_an_image_in_its_batch_changes_no_loss(toy_batch, trains):
    net, losses = toy.build(toy.model_config(frozen_backbone=True)), []
    for value in (0.0, 9.0):
        inputs, samples = copy.deepcopy(toy_batch)
        inputs = torch.nn.functional.pad(inputs, (0, 16, 0, 32), value=value)
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=tuple(inputs.shape[2:])))
        torch.manual_seed(0)
        losses.append(total(net.loss(inputs, samples, trains=trains)))
    assert torch.equal(*losses)


@MODELS.register_module(force=True)
class FrozenToyTail(torch.nn.Module):
    """A frozen convolution and one that trains."""

    def __init__(self):
        super().__init__()
        self.frozen, self.own, self.calls = torch.nn.Conv2d(12, 12, 3, padding=1).requires_grad_(False), torch.nn.Conv2d(12, 12, 1), 0

    @property
    def fixed_layers(self):
        return [self.frozen]

    def fixed(self, x):
        self.calls += len(x)
        return self.frozen(x)

    def forward(self, x):
        return (self.own(self.fixed(x) if isinstance(x, torch.Tensor) else x[1]).relu(),)


def frozen_tails(folder):
    """A model whose detecting stages have frozen tails with maps in a folder."""
    config = toy.model_config(frozen_backbone=True, feature_cache=dict(dir=str(folder)))
    for name in toy.STAGES[1:]:
        config['stages'][name]['detector']['backbone'] = dict(type='FrozenToyTail')
    return toy.build(config)


@pytest.mark.parametrize('trains', ['detection', 'segmentation', 'forward'])
def test_while_a_stage_trains_the_maps_of_its_frozen_tail_are_computed_once(toy_batch, tmp_path, trains):
    net = frozen_tails(tmp_path)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        total(net.loss(*copy.deepcopy(toy_batch), trains=trains)).backward()
        optimizer.step()
    calls = [stage.detector.backbone.calls for name, stage in net.stages.items() if name != 'classification']
    assert sum(calls) == len(toy_batch[1]) * (3 if trains == 'forward' else 1)  # these tails have random weights, one each
    assert len(list(tmp_path.rglob('*.map'))) == len(toy_batch[1]) + sum(calls)


@pytest.mark.parametrize('build', [lambda folder: toy.build(toy.model_config(feature_cache=dict(dir=str(folder)))), frozen_tails])
def test_testing_reads_maps_and_adds_none(toy_batch, tmp_path, build):
    net = build(tmp_path).eval()
    before = net.predict(*copy.deepcopy(toy_batch))
    assert not list(tmp_path.rglob('*.map'))
    net.explain('detection', *copy.deepcopy(toy_batch))
    assert list(tmp_path.rglob('*.map'))
    for one, other in zip(before, net.predict(*copy.deepcopy(toy_batch)), strict=True):
        assert torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes)


def test_a_model_with_a_cache_is_copied_with_it(toy_batch, tmp_path):
    net = toy.build(toy.model_config(feature_cache=dict(dir=str(tmp_path)))).eval()
    net.explain('classification', *copy.deepcopy(toy_batch))
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.backbone.first.weight += 1
    images = toy_batch[0], toy_batch[1]
    assert not torch.equal(twin.views(*images)[0].feature, net.views(*images)[0].feature)


PHASES = [('classification', 2), ('detection', 3), ('refinement', 2), ('recurrent', 2)]


def test_a_run_killed_while_the_cache_fills_ends_with_the_same_bits(toy_root, tmp_path):
    runs = [dict(feature_cache=dict(dir=str(tmp_path / name)), frozen_backbone=True, phases=PHASES) for name in ('a', 'b')]
    whole = train(toy_root, tmp_path / 'whole', **runs[0])
    assert killed(toy_root, tmp_path / 'killed', hooks=[dict(type='KillAt', iteration=3)], **runs[1])
    resumed = train(toy_root, tmp_path / 'killed', resume=True, **runs[1])
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []
    none = train(toy_root, tmp_path / 'none', **runs[0] | dict(feature_cache=dict(dir=str(tmp_path / 'c'), max_gib=0)))
    assert toy.different(toy.weights(whole.model), toy.weights(none.model)) == []


def test_maps_of_several_images_are_padded_with_zeros():
    stacked = feature_cache.stack_maps([torch.ones(1, 2, 3, 3), torch.ones(1, 2, 2, 4)])
    assert stacked[1, :, 2].abs().sum() == 0 and stacked[0, :, :, 3].abs().sum() == 0 and stacked.sum() == 2 * (9 + 8)


def test_a_backbone_that_trains_learns_beside_a_cache_as_without_it(toy_batch, tmp_path):
    gradients = []
    for more in ({}, dict(feature_cache=dict(dir=str(tmp_path)))):
        net = toy.build(toy.model_config(**more))
        torch.manual_seed(0)
        total(net.loss(*copy.deepcopy(toy_batch), trains='forward')).backward()
        gradients.append([parameter.grad for parameter in net.backbone.parameters()])
    assert all(first.any() and torch.equal(first, second) for first, second in zip(*gradients, strict=True))


def test_what_a_killed_training_had_half_written_is_removed(toy_net, image, tmp_path):
    ended = subprocess.Popen(['true'])
    ended.wait()
    (tmp_path / 'ab').mkdir()
    (tmp_path / f'ab/.cd.map.{ended.pid}-0123.partial').write_bytes(b'half')
    FeatureCache(tmp_path).shared(toy_net.backbone, image)
    assert [path.suffix for path in tmp_path.rglob('*') if path.is_file()] == ['.map']


def test_the_hash_of_weights_that_stay_is_computed_once(toy_net, image, tmp_path, monkeypatch):
    computed, cache = [], FeatureCache(tmp_path)
    monkeypatch.setattr(feature_cache, 'weights_hash', lambda *layers: computed.append(layers) or 'a')
    for _ in range(3):
        cache.shared(toy_net.backbone, image)
    assert len(computed) == 1


def test_what_other_processes_write_meanwhile_takes_room_too(toy_net, image, tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path, max_gib=1)

    def write(path, value):
        cache._room[0] -= 1000  # shared memory: another process
        return 10

    monkeypatch.setattr(feature_cache, 'write_map', write)
    cache.shared(toy_net.backbone, image)
    assert cache._room[0] == 2**30 - 1010


def test_a_folder_that_cannot_be_tidied_or_disappears_is_used_all_the_same(toy_net, image, tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(feature_cache, 'remove_partial', refuse)
    (tmp_path / 'old.map').symlink_to(tmp_path / 'gone')
    FeatureCache(tmp_path).shared(toy_net.backbone, image)
    assert len(list(tmp_path.rglob('*.map'))) == 2

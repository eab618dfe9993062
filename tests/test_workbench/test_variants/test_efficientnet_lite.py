"""EfficientNet-Lite0 in two parts."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
import torch.nn.functional as F

from mmlabelpenet.workbench.variants import EfficientNetLite0C4, EfficientNetLite0Tail, efficientnet_lite

CACHE = {}


def slow_conv_bn(self, x):
    """Layer after layer: the obvious twin of the folded convolution."""
    if self.same:
        x = efficientnet_lite._pad_same(x, self.conv.kernel_size[0])
    x = self.bn(self.conv(x))
    return x if isinstance(self.act, torch.nn.Identity) else x.clamp(0, 6)


@contextmanager
def slowly():
    """Every convolution and its normalisation one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite._ConvBN, 'forward', slow_conv_bn)
        yield


def lively_state(cls):
    """Random weights with statistics under which every channel of every layer varies by about 1 over an image."""
    if cls not in CACHE:
        torch.manual_seed(0)
        module = cls()
        norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
            norm.momentum = 1.0
            norm.train()
        channels = 3 if cls is EfficientNetLite0C4 else 112
        with slowly():
            module(torch.rand(2, channels, 256 // (16 if channels == 112 else 1), 256 // (16 if channels == 112 else 1)))
        CACHE[cls] = module.state_dict()
    return CACHE[cls]


def build(cls, **kwargs):
    module = cls(**kwargs).eval()
    module.load_state_dict(lively_state(cls), strict=False)
    return module


def assert_same(got, expected):
    """Equal up to rounding, and not because the maps are flat."""
    assert got.std() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('padding', ['symmetric', 'same'])
@pytest.mark.parametrize(('cls', 'channels'), [(EfficientNetLite0C4, 3), (EfficientNetLite0Tail, 112)])
def test_folded_normalisation_gives_the_maps_and_gradients_of_the_layers_one_after_the_other(cls, channels, padding):
    module = build(cls, padding=padding).double().requires_grad_(True)
    torch.manual_seed(0)
    size = (32, 48) if channels == 3 else (6, 8)
    image = torch.rand(2, channels, *size, dtype=torch.float64).div(1 if channels == 3 else 4)
    found = []
    for context in (nullcontext, slowly):
        module.zero_grad()
        with context():
            (out,) = module(image)
            (out**2).mean().backward()
        found.append([out.detach(), *(parameter.grad.clone() for parameter in module.parameters())])
    assert found[1][0].std() > 0.1
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('out_stride', [8, 16])
def test_maps_have_the_stride_asked_for(out_stride):
    c4 = build(EfficientNetLite0C4, out_stride=out_stride)
    tail = build(EfficientNetLite0Tail, dilation=16 // out_stride, with_input=True)
    (shared,) = c4(torch.rand(1, 3, 64, 96))
    feat, last = tail((shared,))
    assert shared.shape == (1, 112, 64 // out_stride, 96 // out_stride)
    assert feat is shared
    assert last.shape == (1, 1280, *shared.shape[2:])


def test_the_map_of_stride_eight_has_that_of_stride_sixteen_in_every_other_cell():
    image = torch.rand(1, 3, 64, 96)
    fine = build(EfficientNetLite0C4, out_stride=8)(image)[0]
    coarse = build(EfficientNetLite0C4, out_stride=16)(image)[0]
    assert_same(fine[..., ::2, ::2], coarse)


def test_the_tail_without_stride_has_the_published_map_in_every_other_cell():
    feats = torch.rand(1, 112, 8, 12)
    fine = build(EfficientNetLite0Tail, stride=1)(feats)[0]
    published = build(EfficientNetLite0Tail, stride=2)(feats)[0]
    assert_same(fine[..., ::2, ::2], published)


def test_a_tail_for_stride_eight_gives_the_map_of_stride_sixteen_in_every_other_cell():
    image = torch.rand(1, 3, 64, 96)
    fine = build(EfficientNetLite0Tail, dilation=2)(build(EfficientNetLite0C4, out_stride=8)(image))[0]
    coarse = build(EfficientNetLite0Tail)(build(EfficientNetLite0C4)(image))[0]
    assert_same(fine[..., ::2, ::2], coarse)


def test_symmetric_padding_gives_the_published_features_of_a_moved_image():
    torch.manual_seed(1)
    image = torch.rand(1, 3, 512, 512)
    moved = F.pad(image, (15, 0, 15, 0))[..., :512, :512]
    inside = (..., slice(13, 19), slice(13, 19))  # far enough from the border for the receptive field
    ours = build(EfficientNetLite0C4)(image)[0][inside]
    assert_same(ours, build(EfficientNetLite0C4, padding='same')(moved)[0][inside])
    unmoved = build(EfficientNetLite0C4, padding='same')(image)[0][inside]
    assert (ours - unmoved).abs().mean() > 0.1


@pytest.mark.parametrize('size', [(61, 75), (64, 96)])
def test_padding_same_gives_sizes_rounded_up(size):
    shared = build(EfficientNetLite0C4, padding='same')(torch.rand(1, 3, *size))[0]
    assert shared.shape[2:] == tuple(-(-side // 16) for side in size)


@pytest.mark.parametrize('kwargs', [{}, {'with_head': False}, {'aspp': {'channels': 8, 'out_channels': 12}}])
def test_the_last_map_is_not_negative(kwargs):
    tail = build(EfficientNetLite0Tail, **kwargs)
    (last,) = tail(torch.randn(1, 112, 4, 4))
    assert last.min() >= 0
    assert last.shape[1] == tail.out_channels[0]


@pytest.mark.parametrize('cls', [EfficientNetLite0C4, EfficientNetLite0Tail])
def test_normalisation_stays_frozen_in_training_mode(cls):
    part = cls()
    norms = [m for m in part.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert part.train() is part
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)


def test_of_a_frozen_tail_the_pyramid_alone_learns():
    tail = EfficientNetLite0Tail(frozen=True, aspp=dict(channels=8, out_channels=8))
    learns = {name.split('.')[0] for name, parameter in tail.named_parameters() if parameter.requires_grad}
    assert learns == {'aspp'} and len(list(tail.named_parameters())) > len(list(tail.aspp.named_parameters()))


def test_frozen_stages_have_no_gradient_and_the_others_do():
    c4 = EfficientNetLite0C4(frozen_stages=3)
    trained = {name.split('.')[0] + name.split('.')[1] for name, p in c4.named_parameters() if p.requires_grad}
    assert trained == {'groups2', 'groups3', 'groups4'}


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match='out_stride'):
        EfficientNetLite0C4(out_stride=32)
    with pytest.raises(ValueError, match='frozen_stages'):
        EfficientNetLite0C4(frozen_stages=9)
    with pytest.raises(ValueError, match='padding'):
        EfficientNetLite0Tail(padding='valid')
    with pytest.raises(ValueError, match='stride'):
        EfficientNetLite0Tail(stride=4)

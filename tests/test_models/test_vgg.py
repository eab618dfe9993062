"""VGG-16 in two parts."""

import pytest
import torch
import torchvision

from mmlabelpenet.models.backbones import VGG16C4, VGG16Tail


def torchvision_features(c4, tail, until):
    """torchvision's VGG-16 with the same weights, run to layer ``until``."""
    net = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs['D'])
    convs = [m for part in (c4, tail) for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    for ours, theirs in zip(convs, [m for m in net if isinstance(m, torch.nn.Conv2d)]):
        theirs.load_state_dict(ours.state_dict())
    return net[:until]


def test_both_parts_are_the_published_network_when_pool4_has_stride_two():
    torch.manual_seed(0)
    c4, tail = VGG16C4(), VGG16Tail(pool4_stride=2, dilation=1)
    image = torch.rand(1, 3, 48, 64)
    torch.testing.assert_close(c4(image)[0], torchvision_features(c4, tail, 23)(image))
    torch.testing.assert_close(tail(c4(image))[0], torchvision_features(c4, tail, 30)(image))


def test_relu5_3_has_stride_eight_and_is_not_negative():
    torch.manual_seed(0)
    c4, tail = VGG16C4(), VGG16Tail()
    (relu4_3,) = c4(torch.rand(2, 3, 64, 48))
    (relu5_3,) = tail((relu4_3,))
    assert relu4_3.shape == relu5_3.shape == (2, 512, 8, 6)
    assert relu5_3.min() >= 0 and relu5_3.max() > 0


def test_the_shared_part_says_the_channels_and_the_stride_of_its_map():
    (found,) = VGG16C4()(torch.rand(1, 3, 64, 48))
    assert VGG16C4.out_channels == (found.shape[1],) and (VGG16C4.out_stride * found.shape[2], 6) == (64, found.shape[3])


def test_conv5_is_dilated():
    tail = VGG16Tail()
    assert [getattr(tail, f'conv5_{i}').dilation for i in (1, 2, 3)] == [(2, 2)] * 3


def test_pool4_comes_before_the_aspp_map():
    torch.manual_seed(0)
    tail = VGG16Tail(with_pool4=True, aspp=dict(channels=8, out_channels=16))
    feats = torch.rand(1, 512, 6, 6)
    pool4, last = tail(feats)
    assert torch.equal(pool4, torch.nn.functional.max_pool2d(feats, 3, 1, 1))
    assert last.shape == (1, 16, 6, 6) and last.min() >= 0
    assert tail.out_channels == (512, 16)


def test_a_tail_leaves_the_shared_map_as_it_was():
    torch.manual_seed(0)
    feats = torch.rand(1, 512, 4, 4)
    before = feats.clone()
    VGG16Tail(with_pool4=True)((feats,))
    assert torch.equal(feats, before)


@pytest.mark.parametrize('frozen', [0, 2, 4])
def test_frozen_stages_have_no_gradient_and_the_others_do(frozen):
    c4 = VGG16C4(frozen_stages=frozen)
    frozen_names = {name for name, p in c4.named_parameters() if not p.requires_grad}
    assert frozen_names == {name for name, _ in c4.named_parameters() if int(name[4]) <= frozen}


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match='frozen_stages'):
        VGG16C4(frozen_stages=5)
    with pytest.raises(ValueError, match='pool4_stride'):
        VGG16Tail(pool4_stride=3)


def test_relus_keep_no_copy_of_what_enters_them():
    layers = [layer for part in (VGG16C4(), VGG16Tail()) for layer in part.modules() if isinstance(layer, torch.nn.ReLU)]
    assert len(layers) == 2 and all(layer.inplace for layer in layers)


@pytest.mark.parametrize('part', [VGG16C4, VGG16Tail])
def test_layers_begin_with_kaimings_deviation_or_as_the_config_says(part):
    torch.manual_seed(0)
    usual, constant = part(), part(init_cfg=dict(type='Constant', val=0.5, layer='Conv2d'))
    for net in (usual, constant):
        net.init_weights()
    last = [layer for layer in usual.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    assert last.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01) and not last.bias.any()
    assert all((layer.weight == 0.5).all() for layer in constant.modules() if isinstance(layer, torch.nn.Conv2d))

"""ResNet in a shared C4 and a C5 for each stage."""

import pytest
import torch
import torchvision

from mmlabelpenet.workbench.variants import EfficientNetLite0Tail, ResNetC4, ResNetC5


def randomise_norms(module):
    for child in module.modules():
        if isinstance(child, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(child.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(child.weight, 0.3, 0.6)


def test_both_parts_are_torchvisions_network_with_the_published_strides():
    torch.manual_seed(0)
    net = torchvision.models.resnet50(weights=None).eval()
    randomise_norms(net)
    c4, tail = ResNetC4(style='pytorch').eval(), ResNetC5(style='pytorch', stride=2, dilation=1).eval()
    missing = c4.load_state_dict(net.state_dict(), strict=False).missing_keys
    missing += tail.load_state_dict(net.state_dict(), strict=False).missing_keys
    assert missing == []
    image = torch.randn(1, 3, 64, 96)
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    expected = net.layer4(net.layer3(net.layer2(net.layer1(x))))
    torch.testing.assert_close(tail(c4(image))[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('out_stride', [8, 16])
def test_maps_have_the_stride_asked_for(out_stride):
    c4, tail = ResNetC4(out_stride=out_stride), ResNetC5(with_input=True, aspp=dict(channels=8, out_channels=12))
    (c4_map,) = c4(torch.rand(1, 3, 64, 32))
    feat, last = tail((c4_map,))
    assert c4_map.shape == (1, 1024, 64 // out_stride, 32 // out_stride)
    assert feat is c4_map
    assert last.shape == (1, 12, *c4_map.shape[2:])
    assert tail.out_channels == (1024, 12)


def test_the_last_map_is_not_negative():
    torch.manual_seed(0)
    assert ResNetC5()(torch.randn(1, 1024, 4, 4))[0].min() >= 0


@pytest.mark.parametrize('build', [ResNetC4, ResNetC5])
def test_normalisation_stays_frozen_in_training_mode(build):
    part = build()
    norms = [m for m in part.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert part.train() is part
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)
    assert part.training


def test_the_caffe_style_strides_in_the_first_convolution():
    assert ResNetC4(style='caffe').layer2[0].conv1.stride == (2, 2)
    assert ResNetC4(style='pytorch').layer2[0].conv2.stride == (2, 2)


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match='out_stride'):
        ResNetC4(out_stride=4)
    with pytest.raises(ValueError, match='style'):
        ResNetC5(style='detectron')


@pytest.mark.parametrize('make', [ResNetC5, EfficientNetLite0Tail])
def test_without_weights_from_files_convolutions_are_random_and_norms_change_nothing(make):
    torch.manual_seed(0)
    tail = make()
    for parameter in tail.parameters():
        parameter.data.fill_(3)
    tail.init_weights()
    for module in tail.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
        elif isinstance(module, torch.nn.Conv2d):
            assert module.weight.std() > 0

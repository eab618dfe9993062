"""Published ImageNet weights under our names.

Each reader turns one published state dict into one of our parts: ``backbone.*`` (shared), ``tail.*`` (one for each stage) and, for VGG-16,
``fcs.*`` (fc6 and fc7). A key that is missing or left over is an error: half-loaded weights train, only badly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor

State = dict[str, Tensor]


class Preset(NamedTuple):
    """The input that weights were trained on: channel order, and mean and std in that order."""

    order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_TORCHVISION = Preset('rgb', (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
PRESETS: dict[str, dict[str, Preset]] = {
    'vgg16': {'caffe': Preset('bgr', (102.9801, 115.9465, 122.7717), (1, 1, 1)), 'torchvision': _TORCHVISION},
    'resnet50': {'caffe': Preset('bgr', (103.939, 116.779, 123.68), (1, 1, 1)), 'torchvision': _TORCHVISION},
    'resnet101': {'caffe': Preset('bgr', (103.939, 116.779, 123.68), (1, 1, 1)), 'torchvision': _TORCHVISION},
    'efficientnet_lite0': {'tensorflow': Preset('rgb', (127, 127, 127), (128, 128, 128))},
}
_VGG_CONVS = ('1_1', '1_2', '2_1', '2_2', '3_1', '3_2', '3_3', '4_1', '4_2', '4_3', '5_1', '5_2', '5_3')
_VGG_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_LITE_GROUPS = (1, 2, 2, 3, 3, 4, 1)
_LITE_SHARED = 5
_LITE_LAYERS = {
    '_expand_conv': 'expand.conv',
    '_bn0': 'expand.bn',
    '_depthwise_conv': 'depthwise.conv',
    '_bn1': 'depthwise.bn',
    '_project_conv': 'project.conv',
    '_bn2': 'project.bn',
}


def preset_of(arch: str, preset: str) -> Preset:
    """Look up a named preset; a KeyError where architecture or preset is unknown.

    >>> preset_of('vgg16', 'caffe').order
    'bgr'
    """
    if arch not in PRESETS:
        raise KeyError(f'Weights of arch {arch!r} are unknown; choose one of {sorted(PRESETS)}.')
    if preset not in PRESETS[arch]:
        raise KeyError(f'Weights of {arch} have no preset {preset!r}; choose one of {sorted(PRESETS[arch])}.')
    return PRESETS[arch][preset]


def rename_published(arch: str, preset: str, state: State) -> State:
    """Rename a published state dict to ours and cast it to float32; the ImageNet classifier is left out.

    Args:
        arch: 'vgg16', 'resnet50', 'resnet101' or 'efficientnet_lite0'.
        preset: name in ``PRESETS[arch]``.
        state: VGG-16 in torchvision's names (``features.0.weight``, ``classifier.0.weight``) or Caffe's (``conv1_1.weight``,
            ``fc6.weight``), ResNets in torchvision's names, EfficientNet-Lite0 in those of the wheel.

    Returns:
        state dict with the prefixes ``backbone.``, ``tail.`` and, for VGG-16, ``fcs.``.

    Raises:
        KeyError: arch or preset unknown, a key is missing or left over.
        ValueError: Caffe's names with another preset than 'caffe'.
    """
    preset_of(arch, preset)
    if arch == 'vgg16' and 'conv1_1.weight' in state and preset != 'caffe':
        raise ValueError(f"These VGG-16 weights carry the names of the Caffe model, so their preset must be 'caffe', got {preset!r}.")
    state = {key: value for key, value in state.items() if not key.endswith('num_batches_tracked')}
    names, dropped = _NAMES[arch](state)
    missing, left_over = sorted(set(names) - set(state)), sorted(set(state) - dropped - set(names))
    if missing or left_over:
        raise KeyError(
            f'The file does not hold the published {arch}: {len(missing)} keys are missing {missing[:4]}, '
            f'{len(left_over)} are left over {left_over[:4]}. Give the original file, or correct arch={arch!r}.'
        )
    return {new: state[old].float() if state[old].is_floating_point() else state[old] for old, new in names.items()}


def _vgg16_names(state: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    caffe = 'conv1_1.weight' in state
    layers = {}
    for name, index in zip(_VGG_CONVS, _VGG_FEATURES, strict=True):
        part = 'tail' if name.startswith('5') else 'backbone'
        layers[f'conv{name}' if caffe else f'features.{index}'] = f'{part}.conv{name}'
    layers |= {'fc6': 'fcs.0', 'fc7': 'fcs.1'} if caffe else {'classifier.0': 'fcs.0', 'classifier.3': 'fcs.1'}
    names = {f'{old}.{kind}': f'{new}.{kind}' for old, new in layers.items() for kind in ('weight', 'bias')}
    last = 'fc8' if caffe else 'classifier.6'
    return names, {f'{last}.weight', f'{last}.bias'}


def _resnet_names(state: Iterable[str], blocks_of_layers: Sequence[int]) -> tuple[dict[str, str], set[str]]:
    names: dict[str, str] = {}
    for layer, blocks in enumerate(blocks_of_layers, 1):
        part = 'tail' if layer == 4 else 'backbone'
        for block in range(blocks):
            here = f'layer{layer}.{block}'
            pairs = [(f'{here}.conv{i}', f'{here}.bn{i}') for i in (1, 2, 3)]
            if block == 0:
                pairs.append((f'{here}.downsample.0', f'{here}.downsample.1'))
            names |= _with_norm(part, pairs)
    return _with_norm('backbone', [('conv1', 'bn1')]) | names, {'fc.weight', 'fc.bias'}


def _lite0_names(state: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    places = [(group, block) for group, count in enumerate(_LITE_GROUPS) for block in range(count)]
    names: dict[str, str] = {}
    for key in state:
        if match := re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', key):
            group, block = places[int(match[1])]
            here = f'backbone.groups.{group}' if group < _LITE_SHARED else f'tail.groups.{group - _LITE_SHARED}'
            names[key] = f'{here}.{block}.{_LITE_LAYERS[match[2]]}.{match[3]}'
    pairs = {'_conv_stem': 'backbone.stem.conv', '_bn0': 'backbone.stem.bn', '_conv_head': 'tail.head.conv', '_bn1': 'tail.head.bn'}
    for old, new in pairs.items():
        kinds = ('weight',) if 'conv' in old else _NORM
        names |= {f'{old}.{kind}': f'{new}.{kind}' for kind in kinds}
    return names, {'_fc.weight', '_fc.bias'}


_NORM = ('weight', 'bias', 'running_mean', 'running_var')
_NAMES: dict[str, Callable[[Iterable[str]], tuple[dict[str, str], set[str]]]] = {
    'vgg16': _vgg16_names,
    'resnet50': partial(_resnet_names, blocks_of_layers=(3, 4, 6, 3)),
    'resnet101': partial(_resnet_names, blocks_of_layers=(3, 4, 23, 3)),
    'efficientnet_lite0': _lite0_names,
}


def _with_norm(part: str, pairs: list[tuple[str, str]]) -> dict[str, str]:
    keys = [f'{conv}.weight' for conv, _ in pairs] + [f'{norm}.{kind}' for _, norm in pairs for kind in _NORM]
    return {key: f'{part}.{key}' for key in keys}

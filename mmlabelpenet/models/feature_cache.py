"""What frozen layers make of an image is computed once: maps on disk, read again by training, label passes and testing.

In cascaded pre-training the shared backbone does not change, and in the models for photographs neither do the blocks of the tails
(``frozen=True``). A map is known by the hash of the weights and by the hash of the pixels that the network sees, so that it can never be
that of another image, size, flip, normalisation or network.

Each image is computed by itself, without the padding of its batch, and every map is rounded to float16, whether it was read or computed:
results do not depend on what is in the cache.

Shapes: D channels, (H, W) network input of one image, stride s.
"""

import hashlib
import logging
import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn import functional as F

_RECENT = 32  # maps kept in memory: stages with one frozen tail ask for the same map one after the other


class FeatureCache:
    """Maps of frozen layers on disk.

    Args:
        dir: folder; several trainings may share it.
        max_gib: size at which nothing is added any more.

    Raises:
        ValueError: ``max_gib`` is negative.
    """

    def __init__(self, dir: str | Path, max_gib: float = 20.0) -> None:  # noqa: A002  the name of the config key
        if max_gib < 0:
            raise ValueError(f'max_gib is a size, got {max_gib}.')
        self.folder, self.max_bytes = Path(dir), max_gib * 2**30
        self._room: float | None = None  # bytes that this process may still add
        self._hashes: WeakKeyDictionary[nn.Module, tuple[tuple, str]] = WeakKeyDictionary()
        self._recent: OrderedDict[tuple[Path, bool], Tensor] = OrderedDict()

    def shared(self, backbone: nn.Module, inputs: Tensor, store: bool = True) -> tuple[str, Tensor]:
        """The shared map of one image.

        Args:
            backbone: frozen for now; its last map is taken.
            inputs: normalised image, float (1, 3, H, W).
            store: whether to add the map where it is not there yet.

        Returns:
            a key for :meth:`inner`, and the map, float32 (1, D, H/s, W/s).
        """
        pixels = hashlib.blake2b(str(tuple(inputs.shape)).encode(), digest_size=16)
        pixels.update(inputs.detach().float().cpu().contiguous().numpy())
        return self._get(backbone, '', pixels.hexdigest(), store, lambda: backbone(inputs)[-1])

    def inner(self, tail: nn.Module, key: str, shared: Tensor, store: bool = True) -> Tensor:
        """What the frozen part of a tail makes of a shared map, float32; arguments as :meth:`shared` returned them."""
        return self._get(tail, *key.split('/'), store, lambda: tail.fixed(shared))[1]

    def _get(self, module: nn.Module, before: str, key: str, store: bool, compute: Callable[[], Tensor]) -> tuple[str, Tensor]:
        weights = hashlib.sha256((before + self._hash(module)).encode()).hexdigest()[:16]
        path = self.folder / weights / key[:2] / f'{key}.map'
        if (found := self._recent.get((path, store))) is None:
            device = next(module.parameters()).device
            found = _read(path)
            if found is None:
                with torch.no_grad(), torch.autocast(device.type, enabled=False):
                    found = compute().detach().half().cpu().contiguous()
                if store and torch.isfinite(found).all():
                    self._add(path, found)
            found = found.float().to(device)
            self._recent[path, store] = found
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return f'{weights}/{key}', found

    def _hash(self, module: nn.Module) -> str:
        """Of the module's weights; computed again where PyTorch counted a change, or where their sum is another."""
        values = [value.detach() for value in (*module.parameters(), *module.buffers())]
        state = (sum(value._version for value in values), float(torch.stack([value.double().sum() for value in values]).sum()))
        if self._hashes.get(module, (None, ''))[0] != state:
            self._hashes[module] = (state, weights_hash(module))
        return self._hashes[module][1]

    def _add(self, path: Path, value: Tensor) -> None:
        if self._room is None:
            used = sum(file.stat().st_size for file in self.folder.rglob('*.map')) if self.folder.is_dir() else 0
            self._room = (self.max_bytes - used) / get_world_size()
        if self._room < value.numel() * 2:
            self._stop(f'has reached max_gib={self.max_bytes / 2**30:g}')
            return
        temporary = path.with_suffix(f'.{os.getpid()}.partial')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = np.array(value.shape, np.int32).tobytes() + value.numpy().tobytes()
            temporary.write_bytes(zlib.crc32(data).to_bytes(4, 'little') + data)
            os.replace(temporary, path)
            self._room -= len(data)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self._stop(f'cannot be written ({error.strerror})')

    def _stop(self, why: str) -> None:
        if self._room:  # said once
            print_log(f'The feature cache {self.folder} {why}: maps that are not in it are computed each time.', 'current', logging.WARNING)
        self._room = 0.0


def _read(path: Path) -> Tensor | None:
    """A map as it was written, float16 (1, D, h, w); None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    shape = np.frombuffer(content[4:20], np.int32) if len(content) >= 20 else np.zeros(4, np.int32)
    if zlib.crc32(content[4:]) != int.from_bytes(content[:4], 'little') or len(content) != 20 + 2 * int(shape.prod()):
        return None
    return torch.frombuffer(bytearray(content), dtype=torch.float16, offset=20).view(*shape.tolist())


def stack_maps(maps: Sequence[Tensor]) -> Tensor:
    """Maps of single images (1, D, h, w) as those of a batch (N, D, h', w'), zero where an image is smaller than the largest.

    >>> stack_maps([torch.ones(1, 2, 3, 3), torch.ones(1, 2, 2, 4)]).shape
    torch.Size([2, 2, 3, 4])
    """
    height, width = (max(each.shape[axis] for each in maps) for axis in (2, 3))
    return torch.cat([F.pad(each, (0, width - each.shape[3], 0, height - each.shape[2])) for each in maps])


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

"""Reading weights without running code, and loading them without silence.

mmengine's checkpoints hold log buffers beside the tensors, so that ``torch.load(weights_only=True)`` refuses them, and a plain
``torch.load`` runs whatever a file asks for. Here every object of a file that is not a tensor or a plain container becomes an inert
stand-in: it is neither imported nor called.
"""

import collections
import hashlib
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn

_REAL = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
}


class Inert:
    """Stands where a file asks for anything but tensors and containers; takes every argument and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Inert':
        """Ignore what the object would have been made of."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> 'Inert':
        """A function of the file: not run."""
        return Inert()

    def __setstate__(self, state: Any) -> None:
        """Drop the state."""


class _InertPickle:
    """A pickle module for ``torch.load`` that imports nothing."""

    __name__ = 'inert_pickle'

    class Unpickler(pickle.Unpickler):
        """Knows how tensors are rebuilt; all else is inert."""

        def find_class(self, module: str, name: str) -> Any:
            """The class or function of a global, or its stand-in."""
            if (module, name) in _REAL:
                return _REAL[module, name]
            if module in ('torch', 'torch.storage') and name.endswith('Storage'):
                return getattr(torch.storage if module == 'torch.storage' else torch, name)
            value = getattr(torch, name, None) if module == 'torch' else None
            return value if isinstance(value, torch.dtype) else Inert

    @classmethod
    def load(cls, file: Any, **kwargs: Any) -> Any:
        """As ``pickle.load``."""
        return cls.Unpickler(file, **kwargs).load()


def read_content(path: str | Path) -> Any:
    """Everything that a checkpoint holds, on the CPU; tensors and plain containers as they are, all else inert. No code of it runs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'Checkpoint {path} does not exist. Training writes them as <work dir>/iter_<n>.pth.')
    try:
        return torch.load(path, map_location='cpu', weights_only=False, pickle_module=_InertPickle())
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f'{path} cannot be read as a checkpoint ({error}). Expected a file that training wrote.') from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; no code of it runs.

    Args:
        path: what a training wrote, or a bare state dict.

    Returns:
        ``state_dict`` (tensors by name) and ``meta`` (a dict, maybe empty).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint.
    """
    content = read_content(path)
    state = content.get('state_dict', content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f'{path} holds no state dict of tensors. Expected a file that training wrote.')
    meta = content.get('meta') if 'state_dict' in content else None
    return dict(state_dict=dict(state), meta=meta if isinstance(meta, dict) else {})


def find_checkpoint(work_dir: str | Path) -> Path | None:
    """The last checkpoint of a training that is whole.

    A damaged one is passed over with a warning, for the one before it.

    Args:
        work_dir: of the training.

    Returns:
        its path; None if there is no checkpoint at all.

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    work_dir, noted = Path(work_dir), Path(work_dir, 'last_checkpoint')
    last = work_dir / Path(noted.read_text().strip()).name if noted.is_file() else None
    paths = [*work_dir.glob('iter_*.pth'), *work_dir.glob('epoch_*.pth')]  # schedules in epochs: mmdet's models
    found = sorted(paths, key=lambda path: (path == last, path.stat().st_mtime), reverse=True)
    for path in found:
        if is_whole(path):
            return path
        print_log(f'{path} is damaged and passed over; the checkpoint before it is used.', 'current', level=logging.WARNING)
    if found:
        raise ValueError(
            f'All checkpoints of {work_dir} are damaged: {", ".join(path.name for path in found)}. Start anew without --resume.'
        )
    return None


def is_whole(path: str | Path) -> bool:
    """Whether a checkpoint has all its bytes, by the check sums it carries."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError):
        return False


def load_strictly(model: nn.Module, path: str | Path, assign: bool = False) -> dict[str, Any]:
    """Load weights into a model that has exactly these parameters and buffers.

    Args:
        model: changed in place, only if everything fits.
        path: checkpoint.
        assign: take the checkpoint's tensors instead of copying them, for a model without memory (device ``meta``).

    Returns:
        the checkpoint's ``meta``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none, or of another model; says what differs.
    """
    checkpoint = read_checkpoint(path)
    wanted, given = model.state_dict(), checkpoint['state_dict']
    reshaped = [key for key in wanted if key in given and wanted[key].shape != given[key].shape]
    differences = [
        f'{len(keys)} {what} ({", ".join(keys[:3])}{", ..." if len(keys) > 3 else ""})'
        for what, keys in (
            ('missing', [key for key in wanted if key not in given]),
            ('unexpected', [key for key in given if key not in wanted]),
            ('of another shape', [f'{key} {tuple(given[key].shape)} for {tuple(wanted[key].shape)}' for key in reshaped]),
        )
        if keys
    ]
    if differences:
        raise ValueError(
            f'Checkpoint {path} is of another model than the config: of its {len(given)} tensors {"; ".join(differences)}. '
            'Give the config that it was trained with.'
        )
    model.load_state_dict(given, assign=assign)
    return checkpoint['meta']


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""Safe reading of checkpoints and weights: no code of a file is executed, whatever its archive type.

``torch.load(weights_only=True)`` accepts tensors and plain containers; mmengine also stores its log buffers, which hold NumPy arrays.
Importing this module also makes every reader of mmengine (``resume``, ``load_from``, ``init_cfg=dict(type='Pretrained')``) read in this
way. mmengine's own behaviour depends on the release: 0.10.7 leaves ``weights_only`` to PyTorch, which rejects the log buffers from 2.6 on;
if the safe reader rejects a file, onedl-mmengine falls back to a plain ``torch.load``, which executes code.
"""

import errno
import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, get_external_models, get_torchvision_models

from mmlabelpenet.files import atomic_write, make_folder, require_file
from mmlabelpenet.schema import short


def _statistic(owner: object, name: str) -> Any:
    """Replaces ``getattr``, with which a log buffer gets its methods."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise ValueError(f'it refers to the attribute {name!r}, which is not data')
    return getattr(owner, name)


_core = np._core if hasattr(np, '_core') else np.core
_ARRAYS = [
    (getattr(_core.multiarray, name), f'numpy.{module}.multiarray.{name}')
    for module, name in product(('core', '_core'), ('_reconstruct', 'scalar'))
]
_DTYPES = [type(np.dtype(name)) for name in ('bool', 'float32', 'float64', 'int32', 'int64', 'uint32')]
SAFE = [HistoryBuffer, np.ndarray, np.dtype, *_DTYPES, *_ARRAYS, (_statistic, 'builtins.getattr')]
_MALFORMED = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


def read_tensors(source: str | Path, map_location: Any = 'cpu') -> Any:
    """Read a file of tensors: tensors, plain containers, text, numbers, and mmengine's log buffers.

    Args:
        source: a file, or a URL: ``https://...``, ``torchvision://resnet50``, ``open-mmlab://...``.
        map_location: device of the tensors, as for ``torch.load``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, contains anything but data, would need more memory than its size, or has weights that are not real
            numbers.
    """
    path = _local(str(source))
    require_file(path, f'Checkpoint {source} does not exist. Training writes them as <work dir>/iter_<n>.pth.')
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        with torch.serialization.safe_globals(SAFE), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # for files that are rejected anyway
            content = torch.load(path, map_location=map_location, weights_only=True)
    except (*_MALFORMED, pickle.PickleError, struct.error, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # otherwise, the members of the archive would start before the file
            raise
        raise ValueError(f'{source} cannot be read as a checkpoint ({_reason(error)}). Expected a file that training wrote.') from error
    if isinstance(content, dict):
        state = content.get('state_dict', content)
        check_real(state if isinstance(state, dict) else {}, source)
    if isinstance(content, dict) and isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)  # mmengine executes this text of older formats when it resumes
    return content


def save_tensors(content: Any, path: str | Path) -> None:
    """Write a file for :func:`read_tensors` atomically.

    Raises:
        OSError: the file cannot be written, for example on a full disk, for which PyTorch's own writer raises ``RuntimeError``.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_write(path, 'wb') as file:
        file.write(buffer.getbuffer())


def check_real(state: Mapping[str, Any], source: str | Path) -> None:
    """Reject complex, boolean and quantized weights: PyTorch would silently convert them.

    Raises:
        ValueError: names the tensor.

    >>> check_real({'a': torch.ones(2, dtype=torch.complex64)}, 'a.pth')
    Traceback (most recent call last):
    ValueError: The tensor 'a' of a.pth is complex64. Weights are real numbers.
    """
    for name, value in state.items():
        if isinstance(value, torch.Tensor) and (value.is_complex() or value.is_quantized or value.dtype == torch.bool):
            raise ValueError(f'The tensor {short(name)} of {source} is {_kind(value)}. Weights are real numbers.')


def check_like(given: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], what: str) -> None:
    """Reject tensors whose shape or kind (integer or not) differs from the model's tensor of the same name.

    Raises:
        ValueError: names the tensor that does not match; ``what`` starts the message.
    """
    for name, value in wanted.items():
        if differs(given[name], value):
            raise ValueError(f'{what} does not match the weights: {name} is {described(given[name])}, expected {described(value)}.')


def differs(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether the shape or kind of a stored tensor differs from a model's."""
    return given.shape != wanted.shape or given.is_floating_point() != wanted.is_floating_point()


def described(value: torch.Tensor) -> str:
    """Type and shape of a tensor.

    >>> described(torch.ones(2, 3))
    'float32 (2, 3)'
    """
    return f'{_kind(value)} {tuple(value.shape)}'


def _kind(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix('torch.')


def _local(source: str) -> Path:
    """The file of a URL, downloaded once."""
    for scheme, models in (('torchvision://', get_torchvision_models), ('open-mmlab://', get_external_models)):
        if source.startswith(scheme):
            name, known = source.removeprefix(scheme), models()
            if name not in known:
                raise ValueError(f'{source!r} does not name published weights. Known after {scheme}: {", ".join(sorted(known))}.')
            source = known[name]
    if not source.startswith(('http://', 'https://')):
        return Path(source).expanduser()
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(source).path).name)
    if not path.is_file():
        make_folder(path.parent)
        digest = torch.hub.HASH_REGEX.search(path.name)
        try:
            torch.hub.download_url_to_file(source, str(path), digest.group(1) if digest else None)
        except URLError as error:
            raise OSError(
                f'{source} cannot be downloaded ({error.reason}). Download it elsewhere and give the path of the file.'
            ) from error
    return path


def _check_archive(path: Path) -> None:
    """Reject an archive with damaged members, whose checksums torch does not verify.

    Torch does not compress members; a compressed member could unpack to a thousand times the file's size.
    """
    with zipfile.ZipFile(path) as archive:
        packed = [member.filename for member in archive.infolist() if member.compress_type != zipfile.ZIP_STORED]
        claimed = sum(member.file_size for member in archive.infolist())
        if packed or claimed > path.stat().st_size:
            raise ValueError(f'its archive claims {claimed} bytes in a file of {path.stat().st_size}' + (', compressed' if packed else ''))
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f'its member {short(damaged)} is damaged')


def _reason(error: BaseException) -> str:
    """The reason in one line; torch's own messages are long and explain how to execute the file's code."""
    if found := re.search(r'(?:GLOBAL|global):? (?:GLOBAL )?([\w.]+)', str(error)):
        return f'it refers to {found.group(1)}, which is not data'
    text = str(error).replace('Weights only load failed', 'it does not contain only data')
    return re.split(r'\. |\n', text)[0][:300] or type(error).__name__


def load_from_data(filename: str, map_location: Any = None) -> Any:
    """mmengine's reader for each kind of URL."""
    return read_tensors(filename, map_location)


CheckpointLoader.register_scheme(list(CheckpointLoader._schemes), load_from_data, force=True)

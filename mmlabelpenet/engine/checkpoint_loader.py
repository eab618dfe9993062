"""How mmengine reads a local checkpoint here: with mmengine's log history, and without running code of the file.

The releases of mmengine differ: 0.10.7 leaves ``weights_only`` to PyTorch, whose releases from 2.6 on then refuse the log history that
every training checkpoint holds; onedl-mmengine allows it, and where a file asks for anything else it runs the file's code.
Importing this module registers :func:`load` for local files with either.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

_STATISTICS = ('min', 'max', 'current', 'mean')


def load(filename: str, map_location: Any = None) -> Any:
    """What a checkpoint holds: tensors, plain values, arrays and mmengine's log history.

    Args:
        filename: a local path.
        map_location: as for :func:`torch.load`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file holds other objects.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'Checkpoint {filename} does not exist.')
    try:
        with torch.serialization.safe_globals(_allowed()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f'Checkpoint {filename} holds more than tensors, plain values, arrays and a log history, and is not read, since that could run '
            f'code of the file. ({str(error).splitlines()[-1]})'
        ) from error


def _allowed() -> list[Any]:
    """Objects that PyTorch may make of a file beside its own; arrays of numpy 1 and 2 name their functions differently."""
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    functions = [
        (getattr(multiarray, name), f'numpy.{core}.multiarray.{name}') for name in ('_reconstruct', 'scalar') for core in ('core', '_core')
    ]
    dtypes = {type(np.dtype(name)) for name in ('float64', 'float32', 'int64', 'uint32', 'bool')}
    return [HistoryBuffer, np.ndarray, np.dtype, *dtypes, *functions, (_statistic, 'builtins.getattr')]


def _statistic(owner: type, name: str) -> Callable:
    """Stands for ``getattr``, by which a log history names its own statistics; anything else would lead to any code."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(f'The file asks for getattr({owner!r}, {name!r}).')
    return getattr(owner, name)


CheckpointLoader.register_scheme(prefixes='', loader=load, force=True)

"""Read variables of MATLAB files; for files that SciPy cannot read, the error has the command that converts them."""

import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

from numpy.typing import NDArray

from mmlabelpenet.processes import end_with

_MEMORY = 8 << 30  # memory limit of the reading process: compressed variables could unpack to any size
_KINDS = {  # first bytes of a file -> its format
    b'# Created by Octave': "a text file of Octave, its default for 'save'",
    b'Octave-1-': 'a binary file of Octave',
    b'\x89HDF': 'an HDF5 file',
    b'\x1f\x8b': 'a compressed file of Octave',
    b'MATLAB 7.3': 'a MATLAB v7.3 file, which is HDF5',
}


def load_mat(path: Path) -> dict[str, NDArray]:
    """Variables of a MATLAB file (v4 to v7), and those in its structs.

    Raises:
        ValueError: the file has another format; the message says how to convert it.
    """
    with path.open('rb') as file:
        head = file.read(32)
    kind = next((kind for start, kind in _KINDS.items() if head.startswith(start)), None)
    if kind is not None:
        raise ValueError(
            f"{str(path)!r} is {kind}. Save it again in Octave or MATLAB: load('{path.name}'), then save('-v7', '{path.stem}_v7.mat')."
        )
    try:
        content = _process().submit(_variables, path).result()
    except BrokenProcessPool as error:
        _process.cache_clear()
        raise ValueError(f'{str(path)!r} cannot be read as a MATLAB file: it crashes the reader. Save it with save -v7.') from error
    except Exception as error:  # noqa: BLE001 - SciPy passes on any exception that a damaged file causes
        reason = ' '.join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f'{str(path)!r} cannot be read as a MATLAB file: {reason}. Save it with save -v7.') from error
    for value in list(content.values()):
        if value.dtype.names and value.size == 1:
            content |= {name: value[name].item() for name in value.dtype.names if name not in content}
    return content


@lru_cache(maxsize=1)
def _process() -> ProcessPoolExecutor:
    """A separate process for SciPy, whose compiled code a damaged file can crash."""
    return ProcessPoolExecutor(1, multiprocessing.get_context('fork'), initializer=_start, initargs=(os.getpid(),))


def _start(parent: int) -> None:
    end_with(parent)
    used = int(Path('/proc/self/statm').read_text(encoding='utf-8').split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _variables(path: Path) -> dict[str, NDArray]:
    from scipy.io import loadmat

    return {name: value for name, value in loadmat(path).items() if not name.startswith('__')}

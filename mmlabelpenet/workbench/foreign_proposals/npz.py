"""Read arrays of NumPy files without pickle and with bounded memory."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mmlabelpenet.schema import reason

_LARGEST = 1 << 28  # maximum unpacked size of an image's boxes in bytes


def load_npz(path: Path) -> dict[str, NDArray]:
    """Arrays of a file; raises ValueError if it is damaged, has pickled objects or exceeds the memory limit."""
    try:
        with zipfile.ZipFile(path) as packed:
            for member in packed.infolist():
                _check_size(packed, member)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:  # zipfile: RuntimeError, encrypted or unknown
        raise ValueError(
            f'{str(path)!r} cannot be read as arrays without pickle ({reason(error)}). Save one array per image: '
            'np.savez(path, **{image: boxes for image, boxes in ...}).'
        ) from error


def _check_size(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Reject an array that is too large, or declares more data than are stored; NumPy would allocate the memory first."""
    if member.file_size > _LARGEST:
        raise ValueError(f'the array of an image has more than {_LARGEST >> 20} MiB')
    if member.filename.endswith('.npy'):
        with packed.open(member) as file:
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
            if read is None:
                raise ValueError(f'{member.filename} has an unknown version')
            shape, _, dtype = read(file)
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f'{member.filename} has the declared shape {shape}, but {member.file_size} bytes are stored')

"""Arrays in an ``.npz`` that are streamed when written and memory-mapped when read, so that only the used parts are in memory.

``numpy.load`` can read these files too: they are archives of uncompressed ``.npy`` members.
"""

import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


@dataclass(frozen=True)
class Streamed:
    """An array supplied in chunks: dtype, shape, and the chunks that fill it in order."""

    dtype: np.dtype
    shape: tuple[int, ...]
    pieces: Iterable[NDArray]


def write_arrays(file: IO[bytes], arrays: Mapping[str, NDArray | Streamed]) -> None:
    """Write arrays by name; the same arrays give an identical file."""
    with zipfile.ZipFile(file, 'w') as archive:
        for name, values in arrays.items():
            info = zipfile.ZipInfo(f'{name}.npy')
            info.create_system = 3  # independent of the operating system
            with archive.open(info, 'w', force_zip64=True) as member:
                npy.write_array_header_1_0(member, dict(descr=values.dtype.str, fortran_order=False, shape=values.shape))
                for piece in [values] if isinstance(values, np.ndarray) else values.pieces:
                    member.write(np.ascontiguousarray(piece, values.dtype).tobytes())


class ArrayFile:
    """An ``.npz`` whose arrays are read one by one.

    Args:
        path: the file.

    Raises:
        ValueError: it is not an archive of arrays.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._length = path, path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            self._members = {info.filename.removesuffix('.npy'): info for info in archive.infolist()}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def claimed(self) -> int:
        """Total size in bytes that the array headers declare."""
        return sum(info.file_size for info in self._members.values())

    def load(self, name: str) -> NDArray:
        """Read an array into memory and verify its checksum.

        Raises:
            KeyError: no such array.
            ValueError: it is damaged, contains objects, or declares more data than are stored.
        """
        info = self._members[name]
        with zipfile.ZipFile(self.path) as archive, archive.open(info) as member:
            dtype, shape = _header(member)
            if _bytes(dtype, shape) > info.file_size:
                raise ValueError(f'{name} has the declared shape {shape}, but {info.file_size} bytes are stored')
            values = np.frombuffer(bytearray(member.read()), dtype)
        return values.reshape(shape)

    def map(self, name: str) -> NDArray:
        """A read-only memory-mapped array. Its content is not verified.

        Raises:
            KeyError: no such array.
            ValueError: it is compressed, contains objects, or extends beyond the end of the file.
        """
        info = self._members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f'{name} is compressed')
        with self.path.open('rb') as file:
            file.seek(info.header_offset)
            local = file.read(30)
            if len(local) < 30 or local[:4] != b'PK\3\4':
                raise ValueError(f'{name} is not at the offset recorded in the archive')
            file.seek(sum(struct.unpack('<HH', local[26:30])), 1)
            dtype, shape = _header(file)
            offset = file.tell()
        if offset + _bytes(dtype, shape) > self._length:
            raise ValueError(f'{name} has the declared shape {shape}, which extends beyond the end of the file')
        return np.memmap(self.path, dtype, 'r', offset, shape) if _bytes(dtype, shape) else np.zeros(shape, dtype)


def _header(file: IO[bytes]) -> tuple[np.dtype, tuple[int, ...]]:
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f'its arrays have the version {version}')
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    if dtype.hasobject or (fortran and len(shape) > 1) or min(shape, default=0) < 0:
        raise ValueError('its arrays contain objects, or are in Fortran order')
    return dtype, shape


def _bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for side in shape:
        size *= side
    return size


def read_back(file: IO[bytes], places: Iterable[tuple[int, int]], dtype: np.dtype) -> Iterator[NDArray]:
    """Chunks of a file of plain numbers: first byte and count of each."""
    for start, count in places:
        file.seek(start)
        yield np.frombuffer(file.read(count * dtype.itemsize), dtype)

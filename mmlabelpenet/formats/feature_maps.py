"""Files of feature maps: CRC-32, shape, and float16 values in (height, width, channels) order.

Shapes: D channels, (h, w) map.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmlabelpenet.files import temporary

LAYOUT = 'float16, height by width by channels'


def write_map(path: Path, value: Tensor) -> int:
    """Write a map float16 (1, D, h, w), on the CPU in channels-last format, atomically; returns the size in bytes."""
    data = np.array(value.shape, np.int32).tobytes() + value.permute(0, 2, 3, 1).numpy().tobytes()
    partial = temporary(path)
    try:
        partial.write_bytes(zlib.crc32(data).to_bytes(4, 'little') + data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return len(data)


def read_map(path: Path) -> Tensor | None:
    """Read a map, float16 (1, D, h, w), channels-last; None if it is missing or damaged."""
    try:
        with path.open('rb') as file:
            content = bytearray(os.fstat(file.fileno()).st_size)
            file.readinto(content)
    except OSError:
        return None
    if len(content) < 20:
        return None
    shape = np.frombuffer(content[4:20], np.int32)
    if zlib.crc32(memoryview(content)[4:]) != int.from_bytes(content[:4], 'little') or len(content) != 20 + 2 * int(shape.prod()):
        return None
    number, channels, height, width = shape.tolist()
    return torch.frombuffer(content, dtype=torch.float16, offset=20).view(number, height, width, channels).permute(0, 3, 1, 2)

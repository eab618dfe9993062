"""Run-length encoding (RLE) in NumPy: decode masks, and validate segmentations of other programs before compiled code reads them.
pycocotools trusts its input: with a damaged string it reads beyond the end or draws outside the mask, and for a polygon with a distant
corner it allocates memory for every pixel of the outline.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

RLE = dict[str, Any]
MAX_PIXELS = 178_000_000  # maximum image size; Pillow's limit is hardly larger
_FIRST, _MORE, _SIGN, _BITS = 48, 0x20, 0x10, 5  # COCO's compressed counts: groups of 5 bits as characters starting at '0'
_LONGEST = 7  # maximum number of groups per number: 35 bits


def decode_counts(counts: str | bytes) -> NDArray[np.int64]:
    """Decode run lengths from COCO's compressed form.

    Args:
        counts: the compressed string.

    Returns:
        Lengths of alternating runs of 0 and 1 in column-major order, int64.

    Raises:
        ValueError: an invalid character, an incomplete number, or a negative length.

    >>> decode_counts(coco_mask.encode(np.asfortranarray([[0, 1], [1, 1]], dtype=np.uint8))['counts']).tolist()
    [1, 3]
    """
    codes = np.frombuffer(counts.encode('utf-8') if isinstance(counts, str) else counts, dtype=np.uint8).astype(np.int64) - _FIRST
    if len(codes) == 0:
        return codes
    if codes.min() < 0 or codes.max() >= 2 * _MORE:
        raise ValueError('its counts contain a character outside 0..o')
    ends = np.flatnonzero((codes & _MORE) == 0)
    if len(ends) == 0 or ends[-1] != len(codes) - 1:
        raise ValueError('its counts end in the middle of a number')
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= _LONGEST:
        raise ValueError('its counts contain a number that is too long')
    position = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((codes & (_MORE - 1)) << (_BITS * position), starts)
    values -= ((codes[ends] & _SIGN) > 0) * (np.int64(1) << (_BITS * (ends - starts + 1)))
    # From the fourth number on, the difference from the number two positions before is stored.
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    if values.min() < 0:
        raise ValueError('its counts contain a run of negative length')
    return values


def decode_mask(code: RLE) -> NDArray[np.bool_]:
    """Decode a compressed RLE.

    Args:
        code: dict with ``size`` and compressed ``counts``.

    Returns:
        bool (h, w).

    Raises:
        ValueError: damaged counts.

    >>> decode_mask({'size': [2, 2], 'counts': b'13'}).tolist()
    [[False, True], [True, True]]
    """
    runs = decode_counts(code['counts'])
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(code['size'][::-1]).T


def checked_rle(segmentation: Any, size: tuple[int, int]) -> RLE:
    """Check that a segmentation is a valid RLE for an image.

    Args:
        segmentation: COCO's dict with ``size`` [h, w] and ``counts``, compressed or as a list of lengths.
        size: (h, w) of the image.

    Returns:
        The code with compressed ``counts``.

    Raises:
        ValueError: something else, another size, or damaged counts; the message says what, to be put behind the entry's name.

    >>> checked_rle({'size': [2, 2], 'counts': [1, 3]}, (2, 2))['counts']
    b'13'
    """
    if not isinstance(segmentation, dict) or not {'size', 'counts'} <= set(segmentation):
        raise ValueError("its segmentation is not an RLE {'size': [h, w], 'counts': ...} (convert polygons first)")
    if segmentation['size'] != list(size):
        raise ValueError(f'its mask has the size {segmentation["size"]}, but the image has {list(size)} (height, width)')
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f'its mask of {size[0]} x {size[1]} pixels (h x w) exceeds {MAX_PIXELS // 1_000_000} megapixels')
    counts = segmentation['counts']
    if isinstance(counts, str | bytes):
        runs = decode_counts(counts)
    elif isinstance(counts, Sequence) and all(type(run) is int and 0 <= run <= size[0] * size[1] for run in counts):
        runs = np.asarray(counts, dtype=np.int64)
    else:
        raise ValueError('its counts are neither a string nor a list of valid run lengths')
    if runs.sum() != size[0] * size[1]:
        raise ValueError(f'its runs cover {runs.sum()} pixels, but a mask of {size[0]} x {size[1]} has {size[0] * size[1]}')
    if isinstance(counts, str | bytes):
        return {'size': list(size), 'counts': counts.encode('ascii') if isinstance(counts, str) else counts}
    return coco_mask.frPyObjects({'size': list(size), 'counts': list(counts)}, *size)


def checked_segmentation(segmentation: Any, size: tuple[int, int]) -> RLE | list[list[float]]:
    """Check that a segmentation can be drawn: polygons, or an RLE as for :func:`checked_rle`.

    Args:
        segmentation: in COCO format, not empty.
        size: (h, w) of the image.

    Returns:
        The polygons unchanged, or the RLE with compressed ``counts``.

    Raises:
        ValueError: something else; the message says what, to be put behind the entry's name.
    """
    if not isinstance(segmentation, list):
        return checked_rle(segmentation, size)
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError('its segmentation contains a polygon that is not a list of three or more pairs x, y')
        corners = np.asarray(polygon, np.float64)
        if not (np.abs(corners) <= 2 * max(size)).all():
            raise ValueError(f'its segmentation has a corner far outside its image of {size[0]} x {size[1]} pixels (h x w)')
    return segmentation


def draw(segmentation: RLE | list[list[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A segmentation of :func:`checked_segmentation` as a mask, bool (h, w).

    >>> draw([[0, 0, 2, 0, 2, 1, 0, 1]], (2, 3)).astype(int).tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    codes = coco_mask.frPyObjects(segmentation, *size) if isinstance(segmentation, list) else segmentation
    return coco_mask.decode(coco_mask.merge(codes) if isinstance(codes, list) else codes).view(bool)


def encoded(mask: NDArray) -> RLE:
    """RLE of a mask, as stored in JSON.

    >>> encoded(np.eye(2))
    {'size': (2, 2), 'counts': '0120'}
    """
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': tuple(map(int, code['size'])), 'counts': code['counts'].decode()}


class EncodedMasks(Sequence[NDArray[np.bool_]]):
    """Masks of an image stored as RLE and decoded on access: all masks of a large image would take gigabytes.

    Args:
        codes: as for :func:`draw`.
        size: (h, w) of the image.

    >>> masks = EncodedMasks([enlarged_code(np.eye(2, dtype=bool), (2, 4))], (2, 4))
    >>> masks.shape, masks[0].astype(int).tolist(), int(np.asarray(masks).sum())
    ((1, 2, 4), [[1, 1, 0, 0], [0, 0, 1, 1]], 4)
    """

    def __init__(self, codes: Sequence[RLE | list[list[float]]], size: tuple[int, int]) -> None:
        self.codes, self.size = list(codes), size

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, h, w)."""
        return len(self.codes), *self.size

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:
        """A mask, bool (h, w); for a slice or an index array, the selected masks."""
        if isinstance(index, int | np.integer):
            return draw(self.codes[index], self.size)
        numbers = range(len(self))[index] if isinstance(index, slice) else np.arange(len(self))[index]
        return EncodedMasks([self.codes[number] for number in numbers], self.size)

    def numbered(self) -> NDArray[np.uint16]:
        """Instance map, uint16 (h, w): 0 is background, k the k-th mask, counted from 1, with the first on top. Computed without decoding
        masks.
        """
        by_column = np.zeros(self.size[0] * self.size[1], np.uint16)
        for index in range(len(self) - 1, -1, -1):
            code = self.codes[index]
            ends = np.cumsum(decode_counts((encoded(self[index]) if isinstance(code, list) else code)['counts']))
            for start, end in zip(ends[::2].tolist(), ends[1::2].tolist()):
                by_column[start:end] = index + 1
        return np.ascontiguousarray(by_column.reshape(self.size[::-1]).T)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """All at once, bool (n, h, w)."""
        return np.stack(list(self)) if len(self) else np.zeros(self.shape, bool)


def enlarged_code(mask: NDArray[np.bool_], size: tuple[int, int]) -> RLE:
    """RLE of a mask resized by nearest neighbours as in OpenCV, without creating the resized mask.

    Args:
        mask: bool (h', w').
        size: (h, w).

    >>> coco_mask.decode(enlarged_code(np.eye(2, dtype=bool), (4, 2))).tolist()
    [[1, 0], [1, 0], [0, 1], [0, 1]]
    """
    rows, columns = (_repeats(small, large) for small, large in zip(mask.shape, size, strict=True))
    mask = mask[rows > 0][:, columns > 0]
    ends = np.cumsum(rows[rows > 0])
    lengths, values = [], []
    for column, count in zip(mask.T, columns[columns > 0], strict=True):
        last = np.append(np.flatnonzero(column[1:] != column[:-1]), len(column) - 1)  # of each run
        lengths.append(np.tile(np.diff(ends[last], prepend=0), count))
        values.append(np.tile(column[last], count))
    runs, inside = np.concatenate(lengths), np.concatenate(values)
    first = np.flatnonzero(np.append(True, inside[1:] != inside[:-1]))  # runs continue in the next column
    counts = np.add.reduceat(runs, first).tolist()
    code = coco_mask.frPyObjects({'size': list(size), 'counts': [0, *counts] if inside[0] else counts}, *size)
    return {'size': tuple(map(int, size)), 'counts': code['counts'].decode()}


def _repeats(small: int, large: int) -> NDArray[np.int64]:
    """How often each row is repeated when resizing to another number of rows."""
    import cv2  # metrics do not need it

    taken = cv2.resize(np.arange(small, dtype=np.float32)[None], (large, 1), interpolation=cv2.INTER_NEAREST)
    return np.bincount(taken[0].astype(np.int64), minlength=small)

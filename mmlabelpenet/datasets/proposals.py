"""The proposal file: boxes of every image of a split in one memory-mapped ``.npz`` without pickles.

Arrays of the file: ``image_ids`` str (N,), ``sizes`` int32 (N, 2) as (h, w), ``offsets`` int64 (N + 1,), ``digests`` uint64 (N,) of the
proposals of each image, ``settings`` JSON text, ``images`` uint64 (N,), the first 16 digits of the SHA-256 of each image file (0 if
unknown; the array is absent if all are), ``checksum`` SHA-256 of these, ``bboxes`` float32 (sum R, 4) and, unless all are 1, ``scores``
float32 (sum R,). Images are sorted by name and the boxes of an image by :func:`~mmlabelpenet.ops.selective_search.canonical_order`, so that
the same proposals give an identical file. Files of the first format, compressed and with a single checksum, are read into memory.

Shapes: N images, R proposals of one image. Boxes: float32 xyxy in original pixels, half-open.
"""

import hashlib
import json
import os
import shlex
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import file_hash, require_file
from ..formats.mapped_arrays import ArrayFile
from ..schema import counted, decode_json, reason

_INDEX = ('image_ids', 'sizes', 'offsets', 'digests', 'settings')
HASHES = 'images'  # an array of the index that files of earlier versions lack
_FIRST = ('image_ids', 'sizes', 'offsets', 'bboxes', 'scores', 'settings')  # arrays of the first format
_MOST = 100  # maximum compression ratio of a file of the first format
_MALFORMED = (
    OSError, ValueError, KeyError, EOFError, OverflowError, NotImplementedError, RuntimeError, TypeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_OPTIONS = ('mode', 'min_size', 'max_proposals', 'max_side')  # settings of selective search that are command-line options
_TOOL = 'tools/dataset_converters/selective_search.py'


@dataclass(frozen=True)
class ProposalRecord:
    """Proposals of one image: its name, its (h, w), ``bboxes`` float32 (R, 4), ``scores`` float32 (R,).

    ``sha256`` is the hexadecimal hash of the image file, of which the first 16 digits are stored; empty if unknown.
    """

    image_id: str
    size: tuple[int, int]
    bboxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    sha256: str = ''


def check_record(record: ProposalRecord) -> None:
    """Raise a ValueError for invalid proposals, naming the image and the problem."""
    h, w = record.size
    boxes, scores = record.bboxes, record.scores
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
        raise ValueError(f'Proposals of {record.image_id!r} need bboxes (R, 4) and scores (R,), got {boxes.shape} and {scores.shape}.')
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f'Proposals of {record.image_id!r} need finite boxes and scores.')
    right = (boxes >= 0).all(1) & (boxes[:, :2] < boxes[:, 2:]).all(1) & (boxes[:, 2] <= w) & (boxes[:, 3] <= h)
    if not right.all():
        bad = boxes[~right][0].tolist()
        raise ValueError(f'Proposals of {record.image_id!r} must lie within its {h} x {w} pixels (h x w) and not be empty, got {bad}.')


def proposal_command(data_root: str | os.PathLike[str], split: str, path: str | os.PathLike[str]) -> str:
    """The command that creates the proposal file of a split.

    >>> proposal_command('data/VOCdevkit/VOC2007', 'trainval', 'data/proposals/voc07_trainval.npz')
    'python tools/dataset_converters/selective_search.py data/VOCdevkit/VOC2007 trainval data/proposals/voc07_trainval.npz'
    """
    return shlex.join(['python', _TOOL, os.fspath(data_root), split, os.fspath(path)])


def find_proposals(path: str | os.PathLike[str], data_root: str | os.PathLike[str], split: str) -> Path:
    """The proposal file of a split, without reading it; raises FileNotFoundError with the command that creates it."""
    command = proposal_command(data_root, split, path)
    require_file(path, f'Expected proposals in {os.fspath(path)!r}, but the file is missing. Create it with\n    {command}')
    return Path(path)


class ProposalFile:
    """A proposal file; proposals are read, and verified, image by image.

    Args:
        path: the ``.npz``.
        data_root: folder of the data set; with ``split``, it completes the command in error messages.
        split: name of the image list.

    Attributes:
        image_ids: images with proposals, sorted.
        settings: how the proposals were computed.
        knows_images: whether the file has hashes of image files for :meth:`check_image`.

    Raises:
        FileNotFoundError: no such file; the message has the command that creates it.
        ValueError: the file is not one of ours, or its index is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], data_root: str | os.PathLike[str] = 'DATA_ROOT', split: str = 'SPLIT') -> None:
        self.path = find_proposals(path, data_root, split)
        self.command = proposal_command(data_root, split, path)
        self._todo = f'Create it again with\n    {self.command}'
        try:
            arrays = self._open()
            self.settings = decode_json(str(arrays['settings']).encode(), dict[str, Any], 'its settings are malformed')
        except _MALFORMED as error:
            raise ValueError(f'{str(self.path)!r} is not a proposal file or is damaged ({reason(error)}). {self._todo}') from error
        self.image_ids: list[str] = arrays['image_ids'].tolist()
        self._arrays, self._index = arrays, {image_id: k for k, image_id in enumerate(self.image_ids)}
        self.knows_images = HASHES in arrays

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        """Pickle the path only: a receiving process opens the file itself."""
        return type(self), (self.path,)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def get(self, image_id: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Proposals of an image as new arrays, ``bboxes`` float32 (R, 4) and ``scores`` float32 (R,).

        Raises:
            ValueError: the file is for other images, or the proposals are damaged.
        """
        self.check([image_id])
        k, arrays = self._index[image_id], self._arrays
        part = slice(*arrays['offsets'][k : k + 2].tolist())
        bboxes = np.array(arrays['bboxes'][part], np.float32)
        scores = np.array(arrays['scores'][part], np.float32) if 'scores' in arrays else np.ones(len(bboxes), np.float32)
        if 'digests' in arrays and proposals_digest(bboxes, scores) != int(arrays['digests'][k]):
            raise ValueError(f'Proposals of {image_id!r} in {str(self.path)!r} are damaged: their checksum does not match. {self._todo}')
        try:
            check_record(ProposalRecord(image_id, self.size(image_id), bboxes, scores))
        except ValueError as error:
            raise ValueError(f'{str(self.path)!r} is malformed. {error} {self._todo}') from error
        return bboxes, scores

    def digest(self, image_id: str) -> str:
        """A digest of an image's proposals; for files of the second format, the proposals need not be read."""
        self.check([image_id])
        known = self._arrays.get('digests')
        number = proposals_digest(*self.get(image_id)) if known is None else int(known[self._index[image_id]])
        return f'{number:016x} {self.size(image_id)}'

    def image_hash(self, image_id: str) -> str:
        """The first 16 digits of the SHA-256 of an image file; empty if unknown."""
        self.check([image_id])
        number = int(self._arrays[HASHES][self._index[image_id]]) if self.knows_images else 0
        return f'{number:016x}' if number else ''

    def check_image(self, image_id: str, path: str | os.PathLike[str]) -> None:
        """Raise a ValueError if an image file has changed since its proposals were computed, if its hash is known."""
        known = self.image_hash(image_id)
        if known and file_hash(path)[:16] != known:
            made = [f'--{key.replace("_", "-")} {shlex.quote(str(self.settings[key]))}' for key in _OPTIONS if key in self.settings]
            raise ValueError(
                f'{os.fspath(path)} has changed since its proposals in {str(self.path)!r} were computed. Restore the image, or compute the '
                f'proposals again with\n    {" ".join([self.command, *made, "--overwrite"])}'
            )

    def size(self, image_id: str) -> tuple[int, int]:
        """(h, w) of the image for which the proposals were computed."""
        self.check([image_id])
        h, w = self._arrays['sizes'][self._index[image_id]].tolist()
        return h, w

    def check(self, image_ids: Iterable[str]) -> None:
        """Raise a ValueError if some images have no proposals in the file: it is for another split."""
        wanted = list(image_ids)
        missing = [image_id for image_id in wanted if image_id not in self._index]
        if missing:
            raise ValueError(
                f'{str(self.path)!r} has no proposals for {counted(len(missing), "image", of=len(wanted))}, the first: '
                f'{", ".join(missing[:3])}; '
                f'it contains {counted(len(self), "image")} of split {self.settings.get("split", "unknown")!r}. Create the right file '
                f'with\n    {self.command}'
            )

    def _open(self) -> dict[str, NDArray]:
        """The index in memory, boxes and scores memory-mapped; for a file of the first format, everything in memory."""
        file = ArrayFile(self.path)
        first = 'digests' not in file
        if first and file.claimed() > _MOST * self.path.stat().st_size:
            raise ValueError(f'it claims {file.claimed()} bytes in a file of {self.path.stat().st_size}')
        index = _FIRST if first else (*_INDEX, HASHES) if HASHES in file else _INDEX
        arrays = {name: file.load(name) for name in index}
        if arrays_checksum(arrays, index) != str(file.load('checksum')):
            raise ValueError('its checksum does not match')
        if not first:
            arrays |= {name: file.map(name) for name in ('bboxes', 'scores') if name in file}
        _check_arrays(arrays)
        return arrays


def _check_arrays(arrays: Mapping[str, NDArray]) -> None:
    count, total = len(arrays['image_ids']), len(arrays['bboxes'])
    shapes = dict(
        sizes=(count, 2), offsets=(count + 1,), digests=(count,), bboxes=(total, 4), scores=(total,), settings=(), image_ids=(count,),
        images=(count,),
    )  # fmt: skip
    kinds = dict(sizes='i', offsets='i', digests='u', bboxes='f', scores='f', settings='U', image_ids='U', images='u')
    for name, values in arrays.items():
        if values.shape != shapes[name] or values.dtype.kind != kinds[name]:
            raise ValueError(f'{name} has the shape {values.shape} and the dtype {values.dtype}')
    offsets = arrays['offsets']
    if offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any() or (arrays['sizes'] < 1).any():
        raise ValueError('its offsets or sizes do not match its boxes')


def proposals_digest(bboxes: NDArray[np.float32], scores: NDArray[np.float32]) -> int:
    """A 64-bit digest of an image's proposals, boxes (R, 4) and scores (R,)."""
    return int.from_bytes(hashlib.blake2b(bboxes.tobytes() + scores.tobytes(), digest_size=8).digest(), 'little')


def arrays_checksum(arrays: Mapping[str, NDArray], names: Iterable[str]) -> str:
    """Hexadecimal SHA-256 of these arrays with their names, shapes and dtypes."""
    digest = hashlib.sha256()
    for name in names:
        values = arrays[name]
        text = values.dtype.kind == 'U'
        content = json.dumps(values.tolist()).encode() if text else np.ascontiguousarray(values).tobytes()
        digest.update(f'{name} {values.shape} {"text" if text else values.dtype.str} {len(content)}\n'.encode())
        digest.update(content)
    return digest.hexdigest()

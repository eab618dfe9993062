"""The proposal file: boxes of every image of a split in one ``.npz`` without pickles.

Arrays of the file: ``image_ids`` str (N,), ``sizes`` int32 (N, 2) as (h, w), ``offsets`` int64 (N + 1,), ``bboxes`` float32 (sum R, 4),
``scores`` float32 (sum R,), ``settings`` JSON text, ``checksum`` SHA-256 of all the others. Images are sorted by name and the boxes of an
image by :func:`canonical_order`, so that the same proposals give the same bytes.

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

import numpy as np
from numpy.typing import NDArray

from ..files import atomic_write

_ARRAYS = ('image_ids', 'sizes', 'offsets', 'bboxes', 'scores', 'settings')
_TOOL = 'tools/dataset_converters/selective_search.py'


@dataclass(frozen=True)
class ProposalRecord:
    """Proposals of one image: its name, its (h, w), ``bboxes`` float32 (R, 4), ``scores`` float32 (R,)."""

    image_id: str
    size: tuple[int, int]
    bboxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def proposal_command(data_root: str | os.PathLike[str], split: str, path: str | os.PathLike[str]) -> str:
    """The command that makes the proposal file of a split.

    >>> proposal_command('data/VOCdevkit/VOC2007', 'trainval', 'data/proposals/voc07_trainval.npz')
    'python tools/dataset_converters/selective_search.py data/VOCdevkit/VOC2007 trainval data/proposals/voc07_trainval.npz'
    """
    return shlex.join(['python', _TOOL, os.fspath(data_root), split, os.fspath(path)])


def find_proposals(path: str | os.PathLike[str], data_root: str | os.PathLike[str], split: str) -> Path:
    """The proposal file of a split; not read.

    Raises:
        FileNotFoundError: no such file; the message carries the command that makes it.
    """
    if not Path(path).is_file():
        command = proposal_command(data_root, split, path)
        raise FileNotFoundError(f'Expected proposals in {os.fspath(path)!r}, but the file is missing. Make it with\n    {command}')
    return Path(path)


def canonical_order(bboxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """An order that depends on the proposals alone, not on how they came.

    By falling score; where scores are equal by a fixed scrambling of the coordinates, so that the first n are spread over the image.

    Args:
        bboxes: float32 (R, 4).
        scores: float32 (R,).

    Returns:
        int64 (R,), indices.

    >>> boxes = np.array([[0, 0, 9, 9], [5, 5, 9, 9], [1, 1, 3, 3]], np.float32)
    >>> canonical_order(boxes, np.array([0.1, 0.9, 0.5], np.float32)).tolist()
    [1, 2, 0]
    """
    boxes = np.ascontiguousarray(bboxes, np.float32) + np.float32(0)  # -0 becomes 0
    mixed = np.zeros(len(boxes), np.uint64)
    for column in boxes.view(np.uint32).astype(np.uint64).T:  # splitmix64
        mixed = mixed + column + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], mixed, -np.asarray(scores)))


def write_proposals(path: str | os.PathLike[str], records: Iterable[ProposalRecord], settings: Mapping[str, object]) -> None:
    """Write a proposal file; it appears whole or not at all.

    Args:
        path: ends in ``.npz``.
        records: one per image, in any order.
        settings: how the proposals were made, storable as JSON.

    Raises:
        ValueError: another suffix, an image twice, boxes that are none or leave the image, scores of another length or not finite.
    """
    path = Path(path)
    if path.suffix != '.npz':
        raise ValueError(f"A proposal file ends in '.npz', got {str(path)!r}.")
    ordered = sorted(records, key=lambda record: record.image_id)
    for record, following in zip(ordered, ordered[1:]):
        if record.image_id == following.image_id:
            raise ValueError(f'Image {record.image_id!r} has proposals twice. Give one record for each image.')
    for record in ordered:
        _check_record(record)
    orders = [canonical_order(record.bboxes, record.scores) for record in ordered]
    arrays = {
        'image_ids': np.array([record.image_id for record in ordered], np.str_),
        'sizes': np.array([record.size for record in ordered], np.int32).reshape(-1, 2),
        'offsets': np.cumsum([0, *(len(record.scores) for record in ordered)], dtype=np.int64),
        'bboxes': _joined([record.bboxes[order] for record, order in zip(ordered, orders)], (0, 4)),
        'scores': _joined([record.scores[order] for record, order in zip(ordered, orders)], (0,)),
        'settings': np.array(json.dumps(dict(settings), sort_keys=True)),
    }
    with atomic_write(path, 'wb') as file:
        np.savez_compressed(file, **arrays, checksum=np.array(_checksum(arrays)))


class ProposalFile:
    """A proposal file in memory.

    Args:
        path: the ``.npz``.
        data_root: where its images are; with ``split`` it makes the command in error messages exact.
        split: the image list it is for.

    Attributes:
        image_ids: images with proposals, sorted.
        settings: how the proposals were made.

    Raises:
        FileNotFoundError: no such file; the message carries the command that makes it.
        ValueError: the file is none of ours or damaged.
    """

    def __init__(self, path: str | os.PathLike[str], data_root: str | os.PathLike[str] = 'DATA_ROOT', split: str = 'SPLIT') -> None:
        self.path = find_proposals(path, data_root, split)
        self.command = proposal_command(data_root, split, path)
        arrays = self._load()
        self.image_ids: list[str] = arrays['image_ids'].tolist()
        self.settings: dict[str, object] = json.loads(str(arrays['settings']))
        self._index = {image_id: k for k, image_id in enumerate(self.image_ids)}
        self._sizes, self._offsets, self._bboxes, self._scores = (arrays[name] for name in ('sizes', 'offsets', 'bboxes', 'scores'))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def get(self, image_id: str, size: tuple[int, int] | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Proposals of an image as fresh arrays.

        Args:
            image_id: name of the image.
            size: (h, w) of the image, if it is to be compared.

        Returns:
            ``bboxes`` float32 (R, 4) and ``scores`` float32 (R,).

        Raises:
            ValueError: the file is for other images, or for an image of another size.
        """
        self.check([image_id], sizes=None if size is None else {image_id: size})
        k = self._index[image_id]
        part = slice(self._offsets[k], self._offsets[k + 1])
        return self._bboxes[part].copy(), self._scores[part].copy()

    def size(self, image_id: str) -> tuple[int, int]:
        """(h, w) of the image the proposals were made on.

        Raises:
            ValueError: the file is for other images.
        """
        self.check([image_id])
        h, w = self._sizes[self._index[image_id]].tolist()
        return h, w

    def check(self, image_ids: Iterable[str], hint: str = '', sizes: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Compare with the images that are to be used.

        Args:
            image_ids: every one needs proposals; the file may hold more.
            hint: what to do, ends the error message; the command that makes the file if empty.
            sizes: (h, w) of some images, compared with those the proposals were made on.

        Raises:
            ValueError: images have no proposals here (the file is for another split), or a size differs.
        """
        todo = hint or f'Make the right ones with\n    {self.command}'
        wanted = list(image_ids)
        missing = [image_id for image_id in wanted if image_id not in self._index]
        if missing:
            raise ValueError(
                f'{str(self.path)!r} has no proposals for {len(missing)} of {len(wanted)} images, the first: {", ".join(missing[:3])}; '
                f'it holds {len(self)} images of split {self.settings.get("split", "unknown")!r}. {todo}'
            )
        for image_id, size in (sizes or {}).items():
            known = tuple(self._sizes[self._index[image_id]].tolist())
            if known != tuple(size):
                raise ValueError(
                    f'Proposals of {image_id!r} in {str(self.path)!r} were made on an image of {known[0]} x {known[1]} (h x w), '
                    f'but it is {size[0]} x {size[1]} now. {todo}'
                )

    def _load(self) -> dict[str, NDArray]:
        todo = f'Make it anew with\n    {self.command}'
        try:
            with self.path.open('rb') as stream, zipfile.ZipFile(stream), np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*_ARRAYS, 'checksum')}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f'{str(self.path)!r} is no proposal file or is damaged ({error}). {todo}') from error
        if _checksum(arrays) != str(arrays.pop('checksum')):
            raise ValueError(f'{str(self.path)!r} is damaged: its checksum does not fit. {todo}')
        return arrays


def _joined(arrays: list[NDArray[np.float32]], empty: tuple[int, ...]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(empty, np.float32), *arrays]).astype(np.float32)


def _check_record(record: ProposalRecord) -> None:
    h, w = record.size
    boxes, scores = record.bboxes, record.scores
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
        raise ValueError(f'Proposals of {record.image_id!r} need bboxes (R, 4) and scores (R,), got {boxes.shape} and {scores.shape}.')
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f'Proposals of {record.image_id!r} need finite boxes and scores.')
    right = (boxes[:, :2] >= 0).all(1) & (boxes[:, :2] < boxes[:, 2:]).all(1) & (boxes[:, 2] <= w) & (boxes[:, 3] <= h)
    if not right.all():
        bad = boxes[~right][0].tolist()
        raise ValueError(f'Proposals of {record.image_id!r} must lie within its {h} x {w} pixels (h x w) and not be empty, got {bad}.')


def _checksum(arrays: Mapping[str, NDArray]) -> str:
    digest = hashlib.sha256()
    for name in _ARRAYS:
        values = arrays[name]
        text = values.dtype.kind == 'U'
        content = json.dumps(values.tolist()).encode() if text else np.ascontiguousarray(values).tobytes()
        digest.update(f'{name} {values.shape} {"text" if text else values.dtype.str} {len(content)}\n'.encode())
        digest.update(content)
    return digest.hexdigest()

"""Write proposal files; :mod:`mmlabelpenet.datasets.proposals` describes their format and reads them.

Shapes: R proposals of one image. Boxes: float32 xyxy in original pixels, half-open.
"""

import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.proposals import HASHES, ProposalRecord, arrays_checksum, check_record, proposals_digest
from ..files import atomic_write, make_folder
from ..formats.mapped_arrays import Streamed, read_back, write_arrays
from ..ops.selective_search import canonical_order

_FLOAT = np.dtype('<f4')


def write_proposals(path: str | os.PathLike[str], records: Iterable[ProposalRecord], settings: Mapping[str, object]) -> None:
    """Write a proposal file, an ``.npz``, atomically: one record per image, in any order, with one at a time in memory.

    ``settings`` describe how the proposals were computed and must be JSON-serialisable.

    Raises:
        ValueError: another file extension, a duplicate image, boxes without area or outside the image, scores of another length or not
            finite.
    """
    path = Path(path)
    if path.suffix != '.npz':
        raise ValueError(f"A proposal file must end in '.npz', got {str(path)!r}.")
    make_folder(path.parent)
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        kept = sorted(_spool(records, spool))
        for one, following in itertools.pairwise(kept):
            if one.image_id == following.image_id:
                raise ValueError(f'Image {one.image_id!r} has proposals twice. Each image must have one record.')
        index = {
            'image_ids': np.array([one.image_id for one in kept], np.str_),
            'sizes': np.array([one.size for one in kept], np.int32).reshape(-1, 2),
            'offsets': np.cumsum([0, *(one.count for one in kept)], dtype=np.int64),
            'digests': np.array([one.digest for one in kept], np.uint64),
            'settings': np.array(json.dumps(dict(settings), sort_keys=True)),
        }
        if any(one.image for one in kept):
            index[HASHES] = np.array([one.image for one in kept], np.uint64)
        total = int(index['offsets'][-1])
        arrays: dict[str, NDArray | Streamed] = {**index, 'checksum': np.array(arrays_checksum(index, index))}
        arrays['bboxes'] = Streamed(_FLOAT, (total, 4), read_back(spool, ((one.start, 4 * one.count) for one in kept), _FLOAT))
        if not all(one.ones for one in kept):
            places = ((one.start + 16 * one.count, one.count) for one in kept)
            arrays['scores'] = Streamed(_FLOAT, (total,), read_back(spool, places, _FLOAT))
        with atomic_write(path, 'wb') as file:
            write_arrays(file, arrays)


@dataclass(frozen=True, order=True)
class _Kept:
    """An image with its proposals in a temporary file: boxes, then scores."""

    image_id: str
    size: tuple[int, int]
    count: int
    start: int
    digest: int
    ones: bool
    image: int


def _spool(records: Iterable[ProposalRecord], file: Any) -> Iterator[_Kept]:
    for record in records:
        check_record(record)
        order = canonical_order(record.bboxes, record.scores)
        bboxes, scores = (np.ascontiguousarray(values[order], _FLOAT) for values in (record.bboxes, record.scores))
        start = file.tell()
        file.write(bboxes.tobytes() + scores.tobytes())
        h, w = (int(side) for side in record.size)
        ones, image = bool((scores == 1).all()), int(record.sha256[:16] or '0', 16)
        yield _Kept(record.image_id, (h, w), len(scores), start, proposals_digest(bboxes, scores), ones, image)

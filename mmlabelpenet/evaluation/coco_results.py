"""Read COCO-format results of any program as a stream.

A results file is one JSON list of entries::

    {"image_id": "2007_000027", "category_id": 15, "bbox": [x, y, w, h], "score": 0.9,
     "segmentation": {"size": [h, w], "counts": "..."}, "id": 1}

* ``image_id`` is the image's name; for COCO, also its numeric id.
* ``category_id`` is the 1-based index in the list of classes, or for COCO the category id; or the class name, which may also be given as
  ``category_name``.
* ``bbox`` is in pixels of the original image, 0-based, right and bottom edge exclusive. It is optional if there is a ``segmentation``:
  then the mask's tight box is used.
* ``segmentation`` (RLE) is in all entries or in none.
* ``id`` is optional and must be unique.

A first pass checks every entry and records its position; the entries of an image are then read when needed. Memory holds a few numbers per
entry, whatever the order of the file and the size of its masks.
"""

import os
from array import array
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from ..datasets.label_schema import Box, Code
from ..files import require_file
from ..formats.rle import RLE, checked_rle
from ..schema import decode_json, short
from .devkit import ResultNames
from .json_stream import iter_json_list
from .scoring import Prediction


class _Result(msgspec.Struct):
    """The schema of an entry."""

    image_id: str | int
    score: float
    category_id: str | int | None = None
    category_name: str | None = None
    bbox: Box | None = None
    segmentation: Code | None = None
    id: str | int | None = None


class Entry(NamedTuple):
    """One checked entry: VOC id, box xyxy, score, label from 0, RLE or None."""

    image_id: str
    bbox: list[float]
    score: float
    label: int
    mask: RLE | None


class ResultsFile:
    """Checked results of a split, readable image by image.

    Args:
        path: the JSON file.
        names: ids of the images of the split and of the classes, in label order (``Devkit.result_names``).
        image_size: returns (h, w) of an image; called only for images with masks.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an entry is invalid; the message names it.
    """

    def __init__(self, path: str | os.PathLike[str], names: ResultNames, image_size: Callable[[str], tuple[int, int]]) -> None:
        self.path, self.classes, self._names = Path(path), tuple(names.classes), names
        self.num_entries, self.has_masks = 0, None
        # numeric text may also be the name of another image or class: an id is tried as a number first, a name is not
        self._images = {name: name for name in names.images} | {number: name for name, number in names.images.items()}
        by_name = {name: label for label, name in enumerate(names.classes)}
        by_number = {number: label for label, number in enumerate(names.classes.values())}
        self._labels = {'category_id': by_name | by_number, 'category_name': by_number | by_name}
        self._spans = {image_id: array('q') for image_id in names.images}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._image_size = image_size
        self._index()

    def _index(self) -> None:
        require_file(self.path, f'Expected COCO-format results in {str(self.path)!r}, but the file is missing.')
        seen: dict[Hashable, int] = {}
        with open(self.path, 'rb') as file:
            for first, last in iter_json_list(self.path):
                self.num_entries += 1
                file.seek(first)
                where = f'Entry {self.num_entries} of {str(self.path)!r}'
                raw = decode_json(file.read(last - first), _Result, f'{where} cannot be evaluated')
                try:
                    entry = self._read(raw)
                    if raw.id is not None and seen.setdefault(raw.id, self.num_entries) != self.num_entries:
                        raise ValueError(f'its id {short(raw.id)} is already used by entry {seen[raw.id]}')
                    if self.has_masks not in (None, entry.mask is not None):
                        raise ValueError('either all entries must have a segmentation or none, but this one differs from the previous ones')
                except ValueError as error:
                    raise ValueError(f'{where} (image {short(raw.image_id)}) cannot be evaluated: {error}.') from error
                self.has_masks = entry.mask is not None
                self._spans[entry.image_id].extend((first, last))

    def _read(self, raw: _Result) -> Entry:
        image_id = self._images.get(raw.image_id)
        if image_id is None:
            raise ValueError(f'its image_id {short(raw.image_id)} is not an image of the split (VOC ids are strings such as "2007_000027")')
        mask = None
        if raw.segmentation is not None:
            code = msgspec.to_builtins(raw.segmentation)
            mask = checked_rle(dict(code, size=list(code['size'])), self._size(image_id))
        return Entry(image_id, self._box(raw.bbox, mask), raw.score, self._label(raw), mask)

    def _size(self, image_id: str) -> tuple[int, int]:
        if image_id not in self._sizes:
            self._sizes[image_id] = self._image_size(image_id)
        return self._sizes[image_id]

    def _label(self, raw: _Result) -> int:
        given = {key: value for key in self._labels if (value := getattr(raw, key)) is not None}
        if not given:
            raise ValueError('it has no category_id')
        for key, value in given.items():
            if value not in self._labels[key]:
                known = ', '.join(f'{number} {name}' for name, number in self._names.classes.items())
                raise ValueError(f'its class {short(value)} is unknown: use the id or the name of one of {known}')
        labels = {self._labels[key][value] for key, value in given.items()}
        if len(labels) > 1:
            raise ValueError(f'its category_id and category_name differ: {list(given.values())}')
        return labels.pop()

    @staticmethod
    def _box(bbox: Box | None, mask: RLE | None) -> list[float]:
        if bbox is None and mask is None:
            raise ValueError('it has neither a bbox nor a segmentation')
        left, top, width, height = coco_mask.toBbox(mask).tolist() if bbox is None else bbox
        if width < 0 or height < 0:
            raise ValueError(f'its bbox must have a non-negative width and height, got {list(bbox)}')
        return [left, top, left + width, top + height]

    def prediction(self, image_id: str) -> Prediction:
        """Read the entries of one image, in the order of the file.

        Args:
            image_id: an id of the split.

        Returns:
            Its predictions; empty if it has no entries.

        Raises:
            KeyError: no such image in the split.
        """
        spans, entries = self._spans[image_id], []
        with open(self.path, 'rb') as file:
            for first, last in zip(spans[::2], spans[1::2], strict=True):
                file.seek(first)
                entries.append(self._read(decode_json(file.read(last - first), _Result, f'{str(self.path)!r} has changed')))
        return Prediction(
            bboxes=np.array([entry.bbox for entry in entries]).reshape(-1, 4),
            scores=np.array([entry.score for entry in entries]),
            labels=np.array([entry.label for entry in entries], dtype=np.int64),
            masks=[entry.mask for entry in entries] if self.has_masks else None,
        )

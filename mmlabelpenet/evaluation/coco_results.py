"""Read COCO-format results of any program as a stream.

A results file is one JSON list of entries::

    {"image_id": "2007_000027", "category_id": 15, "bbox": [x, y, w, h], "score": 0.9,
     "segmentation": {"size": [h, w], "counts": "..."}, "id": 1}

* ``image_id`` is the image's name; of COCO also its number.
* ``category_id`` is the 1-based place in the list of classes, of COCO the category's number; or the class's name, which may stand in
  ``category_name`` as well.
* ``bbox`` is in pixels of the original image, 0-based, right and bottom edge exclusive. It may be left out beside a
  ``segmentation``: then the mask's tight box is taken.
* ``segmentation`` (a run-length code) stands in all entries or in none.
* ``id`` is optional; no two entries share one.

A first pass checks every entry and remembers where it stands; then each image's entries are read when they are asked for. Memory
holds a few numbers an entry, whatever the order of the file and the size of its masks.
"""

import json
import math
import os
from array import array
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from ..datasets.devkit import ResultNames
from ..datasets.rle import checked_rle
from .json_stream import iter_json_list
from .overlaps import RLE
from .scoring import Prediction


class Entry(NamedTuple):
    """One checked entry: VOC id, box xyxy, score, label from 0, run-length code or None."""

    image_id: str
    bbox: list[float]
    score: float
    label: int
    mask: RLE | None


class ResultsFile:
    """Results of a split, checked, ready to be read image by image.

    Args:
        path: the JSON file.
        names: what the data set calls the images of the split and the classes, in label order (``Devkit.result_names``).
        image_size: gives (h, w) of an image; asked for images with masks only.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an entry cannot be scored; the message names it.
    """

    def __init__(self, path: str | os.PathLike[str], names: ResultNames, image_size: Callable[[str], tuple[int, int]]) -> None:
        self.path, self.classes, self._names = Path(path), tuple(names.classes), names
        self.num_entries, self.has_masks = 0, None
        self._images = {given: image_id for image_id, number in names.images.items() for given in (image_id, number)}
        self._labels = {given: label for label, named in enumerate(names.classes.items()) for given in named}
        self._spans = {image_id: array('q') for image_id in names.images}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._image_size = image_size
        self._index()

    def _index(self) -> None:
        seen: dict[Hashable, int] = {}
        for first, last, raw in iter_json_list(self.path):
            self.num_entries += 1
            try:
                entry = self._read(raw)
                identity = raw.get('id')
                if not isinstance(identity, int | str | None):
                    raise ValueError(f'its id needs to be a number or a string, got {identity!r}')
                if identity is not None and seen.setdefault(identity, self.num_entries) != self.num_entries:
                    raise ValueError(f'its id {identity!r} is that of entry {seen[identity]} already')
                if self.has_masks not in (None, entry.mask is not None):
                    raise ValueError('a segmentation stands in all entries or in none, but this one differs from those before')
            except ValueError as error:
                image = f' (image {raw["image_id"]!r})' if isinstance(raw, dict) and 'image_id' in raw else ''
                raise ValueError(f'Entry {self.num_entries}{image} of {str(self.path)!r} cannot be scored: {error}.') from error
            self.has_masks = entry.mask is not None
            self._spans[entry.image_id].extend((first, last))

    def _read(self, raw: Any) -> Entry:
        if not isinstance(raw, dict):
            raise ValueError(f'an object with image_id, category_id, bbox and score is expected, got {type(raw).__name__}')
        given = raw.get('image_id')
        image_id = self._images.get(given) if isinstance(given, str | int) else None
        if image_id is None:
            raise ValueError(f'its image_id {given!r} is no image of the split (VOC ids are strings such as "2007_000027")')
        score = raw.get('score')
        if not _is_number(score) or not math.isfinite(score):
            raise ValueError(f'its score needs to be a finite number, got {score!r}')
        mask = None
        if raw.get('segmentation') is not None:
            mask = checked_rle(raw['segmentation'], self._size(image_id))
        return Entry(image_id, self._box(raw.get('bbox'), mask), float(score), self._label(raw), mask)

    def _size(self, image_id: str) -> tuple[int, int]:
        if image_id not in self._sizes:
            self._sizes[image_id] = self._image_size(image_id)
        return self._sizes[image_id]

    def _label(self, raw: dict[str, Any]) -> int:
        given = [raw[key] for key in ('category_id', 'category_name') if raw.get(key) is not None]
        if not given:
            raise ValueError('it has no category_id')
        labels = set()
        for value in given:
            if not isinstance(value, str | int) or isinstance(value, bool) or value not in self._labels:
                known = ', '.join(f'{number} {name}' for name, number in self._names.classes.items())
                raise ValueError(f'its class {value!r} is unknown: give the number or the name of one of {known}')
            labels.add(self._labels[value])
        if len(labels) > 1:
            raise ValueError(f'its category_id and category_name differ: {given}')
        return labels.pop()

    @staticmethod
    def _box(bbox: Any, mask: RLE | None) -> list[float]:
        if bbox is None and mask is not None:
            bbox = coco_mask.toBbox(mask).tolist()
        if not isinstance(bbox, list) or len(bbox) != 4 or not all(_is_number(value) and math.isfinite(value) for value in bbox):
            raise ValueError(f'its bbox needs to be four finite numbers [x, y, width, height], got {bbox!r}')
        left, top, width, height = bbox
        if width < 0 or height < 0:
            raise ValueError(f'its bbox needs a width and a height of at least 0, got {bbox!r}')
        return [left, top, left + width, top + height]

    def prediction(self, image_id: str) -> Prediction:
        """Read the entries of one image, in the order of the file.

        Args:
            image_id: an id of the split.

        Returns:
            Its predictions; without entries an empty one.

        Raises:
            KeyError: no such image in the split.
        """
        spans, entries = self._spans[image_id], []
        with open(self.path, 'rb') as file:
            for first, last in zip(spans[::2], spans[1::2], strict=True):
                file.seek(first)
                entries.append(self._read(json.loads(file.read(last - first))))
        return Prediction(
            bboxes=np.array([entry.bbox for entry in entries], dtype=np.float64).reshape(-1, 4),
            scores=np.array([entry.score for entry in entries], dtype=np.float64),
            labels=np.array([entry.label for entry in entries], dtype=np.int64),
            masks=[entry.mask for entry in entries] if self.has_masks else None,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

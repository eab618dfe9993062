"""Ground truth of COCO.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..datasets.coco import AnnotationFile, COCOImages, Mark, read_annotations
from ..datasets.label_schema import Box, Code
from ..formats.rle import checked_segmentation, draw
from ..schema import decode_json
from .devkit import Devkit, Masks, Objects, ResultNames, void_of


class _Note(Mark, kw_only=True):
    bbox: Box
    area: float | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b'null')  # read on access


class _Annotations(AnnotationFile):
    annotations: list[_Note]


class COCODevkit(COCOImages, Devkit):
    """COCO in its published layout; crowds are treated as difficult objects. Arguments as for
    :class:`~mmlabelpenet.datasets.coco.COCOImages`.
    """

    def __init__(self, data_root: str | os.PathLike[str], classes: Sequence[str] | None = None) -> None:
        super().__init__(data_root, classes)
        self._notes: dict[str, list[_Found]] = {}

    def result_names(self, split: str) -> ResultNames:
        """COCO's own image and category ids."""
        names = self._names(split)
        return ResultNames(dict(names.numbers), {name: names.categories[name] for name in self.classes})

    def is_annotated(self, image_id: str) -> bool:
        """Whether the image is in an annotation file, possibly without objects."""
        return self._place(image_id) is not None

    def objects(self, image_id: str) -> Objects:
        """Annotated objects of the selected classes; crowds count as difficult."""
        notes = self._annotations(image_id)
        return _objects(notes, self._labels(notes))

    def all_boxes(self, image_id: str) -> Objects:
        """Annotated objects of every category, with label 0."""
        notes = self._all_annotations(image_id)
        return _objects(notes, np.zeros(len(notes), np.int64))

    def instance_masks(self, image_id: str) -> Masks | None:
        """Instance masks of the selected classes, without crowds; None if an object has only a box."""
        notes = [note for note in self._annotations(image_id) if not note.crowd]
        size = self.image_size(image_id)
        masks = [mask for note in notes if (mask := note.mask(size)) is not None]
        if len(masks) < len(notes):
            return None
        return Masks(self._labels(notes), np.stack(masks) if masks else np.zeros((0, *size), bool))

    def class_mask(self, image_id: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """(h, w): 0 is background, 1 + k class k, void for crowds; smaller objects are drawn over larger ones. None as for masks."""
        size = self.image_size(image_id)
        void = void_of(len(self.classes))
        painted = np.zeros(size, void.dtype)
        for note in sorted(self._annotations(image_id), key=lambda note: (not note.crowd, -note.area)):
            if (mask := note.mask(size)) is None:
                return None
            painted[mask] = void if note.crowd else 1 + self.classes.index(note.name)
        return painted

    def _labels(self, notes: Sequence['_Found']) -> NDArray[np.int64]:
        return np.array([self.classes.index(note.name) for note in notes], np.int64)

    def _annotations(self, image_id: str) -> list['_Found']:
        return [note for note in self._all_annotations(image_id) if note.name in self.classes]

    def _all_annotations(self, image_id: str) -> list['_Found']:
        """Annotations of an image, including boxes and masks: for metrics only."""
        if image_id not in self._notes:
            place = self._place(image_id)
            if place is None:
                raise FileNotFoundError(f'Image {image_id!r} is not in any annotation file of {str(self.data_root)!r}.')
            self._names(place[0])
            path = self.list_file(place[0])
            content, ids, names = read_annotations(path, _Annotations)
            self._notes |= {name: [] for name in ids.values()}
            for number, note in enumerate(content.annotations):
                if min(note.bbox[2:]) > 0:
                    area = note.area if note.area is not None else note.bbox[2] * note.bbox[3]
                    where = f'annotations[{number}] of {str(path)!r}'
                    found = _Found(names[note.category_id], bool(note.iscrowd), note.bbox, area, note.segmentation, where)
                    self._notes[ids[note.image_id]].append(found)
        return self._notes[image_id]


class _Found(NamedTuple):
    """An annotation with its location for error messages."""

    name: str
    crowd: bool
    bbox: Box
    area: float
    segmentation: msgspec.Raw
    where: str

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """The mask, bool (h, w); None if there is only a box."""
        problem = f'The segmentation of {self.where} cannot be read'
        segmentation = msgspec.to_builtins(decode_json(bytes(self.segmentation), Code | list[list[float]] | None, problem))
        if not segmentation:
            return None
        if isinstance(segmentation, dict):
            segmentation['size'] = list(segmentation['size'])
        try:
            return draw(checked_segmentation(segmentation, size), size)
        except ValueError as error:
            raise ValueError(f'{problem}: {error}.') from error


def _objects(notes: Sequence[_Found], labels: NDArray[np.int64]) -> Objects:
    boxes = np.array([note.bbox for note in notes], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Objects(boxes, labels, np.array([note.crowd for note in notes], bool))

"""Reader of COCO as it is published: ``ROOT/annotations/instances_SPLIT.json`` and ``ROOT/SPLIT/IMAGE.jpg``.

Training asks for image lists and tags alone; :func:`read_names` drops boxes and masks while it reads. They are for metrics and tools.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..files import below
from ..schema import decode_json, read_json
from .devkit import Devkit, Masks, Objects, ResultNames, void_of
from .image_names import check_distinct, identities
from .label_schema import Box, Code
from .rle import checked_segmentation, draw
from .tag_files import tags_from_file

Id = int | str | float


class _Image(msgspec.Struct):
    id: Id
    file_name: str


class _Category(msgspec.Struct):
    id: Id
    name: str


class _Mark(msgspec.Struct):
    """What training may know of an annotation."""

    image_id: Id
    category_id: Id
    iscrowd: int | bool = 0


class _Note(_Mark, kw_only=True):
    bbox: Box
    area: float | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b'null')  # read when the image is asked for


class _Names(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Mark]


class _Annotations(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Note]


class Names(NamedTuple):
    """What training may know of an annotation file.

    Attributes:
        images: file name by image id, in the order of the file.
        numbers: number in the file by image id.
        categories: number of each category by its name.
        present: image id -> names of categories that it shows; ``crowds`` those of which it shows crowds only.
        crowds: see above.
    """

    images: dict[str, str]
    numbers: dict[str, Id]
    categories: dict[str, Id]
    present: dict[str, set[str]]
    crowds: dict[str, set[str]]


@lru_cache(maxsize=2)
def read_names(path: Path) -> Names:
    """Read image names and categories of a COCO file; the parser passes over boxes and masks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a COCO annotation file; the message names the place.
    """
    content = _read(path, _Names)
    ids, names = _identities(content.images, path), {category.id: category.name for category in content.categories}
    single: dict[str, set[str]] = {image_id: set() for image_id in ids.values()}
    crowds: dict[str, set[str]] = {image_id: set() for image_id in ids.values()}
    for mark in content.annotations:
        (crowds if mark.iscrowd else single)[ids[mark.image_id]].add(names[mark.category_id])
    only_crowds = {image_id: found - single[image_id] for image_id, found in crowds.items()}
    files = {ids[image.id]: image.file_name for image in content.images}
    return Names(files, {name: number for number, name in ids.items()}, {name: k for k, name in names.items()}, single, only_crowds)


class COCODevkit(Devkit):
    """COCO as it is published. A split is the name of a folder of images, such as ``train2017``; crowds are difficult objects.

    Args:
        data_root: the folder that holds ``annotations`` and those of the images.
        classes: names of categories in label order; objects of other categories are left out. None for all, by their number.
        mask_classes: not used; COCO's masks carry their category.

    Raises:
        FileNotFoundError: no COCO there.
    """

    def __init__(
        self, data_root: str | os.PathLike[str], classes: Sequence[str] | None = None, mask_classes: Sequence[str] | None = None
    ) -> None:
        self.data_root = Path(data_root)
        if not self._splits():
            raise FileNotFoundError(f"Expected COCO at {str(data_root)!r}, but it has no 'annotations/instances_SPLIT.json'.")
        self._places: dict[str, tuple[str, Path]] = {}  # split and file of each image that is known so far
        self._notes: dict[str, list[_Found]] = {}
        if classes is None:
            numbers = read_names(self.list_file(self._splits()[0])).categories
            classes = sorted(numbers, key=numbers.__getitem__)
        self.classes = tuple(classes)

    def _splits(self) -> list[str]:
        return sorted(file.stem.removeprefix('instances_') for file in (self.data_root / 'annotations').glob('instances_*.json'))

    def list_file(self, split: str) -> Path:
        """The annotation file of a split.

        Raises:
            FileNotFoundError: no such split.
        """
        path = self.data_root / 'annotations' / f'instances_{split}.json'
        if not path.is_file():
            raise FileNotFoundError(f'No split {split!r}: {str(path)!r} is missing. Splits there: {", ".join(self._splits())}.')
        return path

    def _names(self, split: str) -> Names:
        """What :func:`read_names` knows of a split.

        Raises:
            ValueError: a class is not a category there.
        """
        names = read_names(self.list_file(split))
        if unknown := [name for name in self.classes if name not in names.categories]:
            known = ', '.join(sorted(names.categories))
            raise ValueError(f'{", ".join(unknown)} are not categories of {str(self.list_file(split))!r}: {known}.')
        return names

    def image_ids(self, split: str) -> list[str]:
        """Images of the annotation file, in its order.

        Raises:
            FileNotFoundError: no such split.
            ValueError: its file is not a COCO annotation file, or another split has an image of the same name.
        """
        path = self.list_file(split)
        for image_id, name in read_names(path).images.items():
            place = (split, below(self.data_root / split, name, f'image {image_id!r} of {str(path)!r}'))
            if self._places.setdefault(image_id, place) != place:
                raise ValueError(
                    f'Image {image_id!r} is in the splits {self._places[image_id][0]!r} and {split!r}: open one of them at a time.'
                )
        return list(read_names(path).images)

    def _place(self, image_id: str) -> tuple[str, Path] | None:
        """Split and file of an image; None for one that no annotation file knows."""
        if image_id not in self._places:
            for split in self._splits():
                self.image_ids(split)
        return self._places.get(image_id)

    def image_path(self, image_id: str) -> Path:
        """The image file; of an image that is not in a list asked for before, all lists are searched.

        Raises:
            FileNotFoundError: there is none, or no list has the image.
        """
        place = self._place(image_id)
        if place is None or not place[1].is_file():
            raise FileNotFoundError(f'Image {image_id!r} is missing: no {str(place[1]) if place else "annotation file knows it"}.')
        return place[1]

    def tags(self, split: str, source: str | os.PathLike[str] = 'lists', use_difficult: bool = False) -> dict[str, list[int]]:
        """Image tags: the categories of a split's annotations (``'lists'`` and ``'xml'`` alike), or from a file; see :meth:`Devkit.tags`.

        An image's crowds are its difficult objects.
        """
        if source not in ('lists', 'xml'):
            return tags_from_file(Path(source), self.image_ids(split), self.classes)
        names = self._names(split)
        found = {i: names.present[i] | (names.crowds[i] if use_difficult else set()) for i in names.images}
        return {image_id: [label for label, name in enumerate(self.classes) if name in shown] for image_id, shown in found.items()}

    def result_names(self, split: str) -> ResultNames:
        """COCO's own numbers of images and categories."""
        names = self._names(split)
        return ResultNames(dict(names.numbers), {name: names.categories[name] for name in self.classes})

    def is_annotated(self, image_id: str) -> bool:
        """Whether an annotation file knows the image; it may show no object."""
        return self._place(image_id) is not None

    def objects(self, image_id: str) -> Objects:
        """Annotated objects of the wanted classes; crowds count as difficult."""
        notes = self._annotations(image_id)
        return _objects(notes, self._labels(notes))

    def all_boxes(self, image_id: str) -> Objects:
        """Annotated objects of every category, with label 0."""
        notes = self._all_annotations(image_id)
        return _objects(notes, np.zeros(len(notes), np.int64))

    def instance_masks(self, image_id: str) -> Masks | None:
        """Instance masks of the wanted classes, without crowds; None where an object has a box alone."""
        notes = [note for note in self._annotations(image_id) if not note.crowd]
        size = self.image_size(image_id)
        masks = [mask for note in notes if (mask := note.mask(size)) is not None]
        if len(masks) < len(notes):
            return None
        return Masks(self._labels(notes), np.stack(masks) if masks else np.zeros((0, *size), bool))

    def class_mask(self, image_id: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """(h, w): 0 background, 1 + k class k, void for crowds; where objects overlap the smaller one is seen. None as for masks."""
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
        """Annotations of an image, boxes and masks included: for metrics only."""
        if image_id not in self._notes:
            place = self._place(image_id)
            if place is None:
                raise FileNotFoundError(f'Image {image_id!r} is in no annotation file of {str(self.data_root)!r}.')
            self._names(place[0])
            path = self.list_file(place[0])
            content = _read(path, _Annotations)
            ids, names = _identities(content.images, path), {category.id: category.name for category in content.categories}
            self._notes |= {name: [] for name in ids.values()}
            for number, note in enumerate(content.annotations):
                if min(note.bbox[2:]) > 0:
                    area = note.area if note.area is not None else note.bbox[2] * note.bbox[3]
                    where = f'annotations[{number}] of {str(path)!r}'
                    found = _Found(names[note.category_id], bool(note.iscrowd), note.bbox, area, note.segmentation, where)
                    self._notes[ids[note.image_id]].append(found)
        return self._notes[image_id]


class _Found(NamedTuple):
    """An annotation whose name is known."""

    name: str
    crowd: bool
    bbox: Box
    area: float
    segmentation: msgspec.Raw
    where: str

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Its pixels, bool (h, w); None for a box alone."""
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


_File = TypeVar('_File', _Names, _Annotations)


def _read(path: Path, kind: type[_File]) -> _File:
    """The file, of which every annotation belongs to an image and a category."""
    content = read_json(path, kind, "a COCO file with 'images', 'annotations' and 'categories'")
    for what, entries in (('image', content.images), ('category', content.categories)):
        known = {entry.id for entry in entries}
        if len(known) < len(entries):
            raise ValueError(f'{str(path)!r} has two entries of one id among its {"images" if what == "image" else "categories"}.')
        for number, note in enumerate(content.annotations):
            if (found := getattr(note, f'{what}_id')) not in known:
                raise ValueError(f'annotations[{number}] of {str(path)!r} has the unknown {what}_id {found!r}.')
    return content


def _identities(images: Sequence[_Image], path: Path) -> dict[Id, str]:
    """Name of each image by its number in the file."""
    check_distinct([image.file_name for image in images], str(path))
    names = {name: image_id for image_id, name in identities([image.file_name for image in images]).items()}
    return {image.id: names[image.file_name] for image in images}

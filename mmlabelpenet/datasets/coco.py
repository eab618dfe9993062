"""Image lists and tags of COCO in its published layout: ``ROOT/annotations/instances_SPLIT.json`` and ``ROOT/SPLIT/IMAGE.jpg``.

Boxes and masks are dropped while a file is read; :mod:`mmlabelpenet.evaluation.coco` reads them for metrics and tools.
"""

import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from ..files import require_file
from ..formats.file_names import below, checked_name
from ..formats.image_names import check_distinct, identities
from ..formats.tag_files import tags_from_file
from ..schema import read_json
from .image_set import ImageSet

Id = int | str | float


class _Image(msgspec.Struct):
    id: Id
    file_name: str


class _Category(msgspec.Struct):
    id: Id
    name: str


class Mark(msgspec.Struct):
    """The fields of an annotation that training may read."""

    image_id: Id
    category_id: Id
    iscrowd: int | bool = 0


class AnnotationFile(msgspec.Struct):
    """The fields that are read from a file."""

    images: list[_Image]
    categories: list[_Category]
    annotations: list[Mark]


class Names(NamedTuple):
    """The content of an annotation file that training may read.

    Attributes:
        images: file name by image id, in the order of the file.
        numbers: index in the file by image id.
        categories: id of each category by name.
        present: image id -> names of categories that it shows.
        crowds: image id -> names of categories of which it shows only crowds.
    """

    images: dict[str, str]
    numbers: dict[str, Id]
    categories: dict[str, Id]
    present: dict[str, set[str]]
    crowds: dict[str, set[str]]


@lru_cache(maxsize=2)
def read_names(path: Path) -> Names:
    """Read image names and categories of a COCO file, like :func:`read_annotations`; the parser skips boxes and masks."""
    content, ids, names = read_annotations(path, AnnotationFile)
    single: dict[str, set[str]] = {image_id: set() for image_id in ids.values()}
    crowds: dict[str, set[str]] = {image_id: set() for image_id in ids.values()}
    for mark in content.annotations:
        (crowds if mark.iscrowd else single)[ids[mark.image_id]].add(names[mark.category_id])
    only_crowds = {image_id: found - single[image_id] for image_id, found in crowds.items()}
    files = {ids[image.id]: image.file_name for image in content.images}
    return Names(files, {name: number for number, name in ids.items()}, {name: k for k, name in names.items()}, single, only_crowds)


class COCOImages(ImageSet):
    """Images of COCO in its published layout. A split is the name of an image folder, such as ``train2017``; crowds are treated as
    difficult objects.

    Args:
        data_root: the folder that contains ``annotations`` and the image folders.
        classes: names of categories in label order; objects of other categories are ignored. None for all, ordered by id.
    """

    def __init__(self, data_root: str | os.PathLike[str], classes: Sequence[str] | None = None) -> None:
        self.data_root = Path(data_root)
        if not self._splits():
            raise FileNotFoundError(f"Expected COCO at {str(data_root)!r}, but it has no 'annotations/instances_SPLIT.json'.")
        self._places: dict[str, tuple[str, Path]] = {}  # split and file of each image found so far
        if classes is None:
            numbers = read_names(self.list_file(self._splits()[0])).categories
            classes = sorted(numbers, key=numbers.__getitem__)
        self.classes = tuple(classes)

    def _splits(self) -> list[str]:
        return sorted(file.stem.removeprefix('instances_') for file in (self.data_root / 'annotations').glob('instances_*.json'))

    def list_file(self, split: str) -> Path:
        """The annotation file of a split."""
        path = self.data_root / 'annotations' / f'instances_{split}.json'
        if not path.exists():
            raise FileNotFoundError(f'No split {split!r}: {str(path)!r} is missing. Available splits: {", ".join(self._splits())}.')
        require_file(path)
        return path

    def _names(self, split: str) -> Names:
        """The result of :func:`read_names` for a split; raises ValueError if a class is not a category there."""
        names = read_names(self.list_file(split))
        if unknown := [name for name in self.classes if name not in names.categories]:
            known = ', '.join(sorted(names.categories))
            are = 'is not a category' if len(unknown) == 1 else 'are not categories'
            raise ValueError(f'{", ".join(unknown)} {are} of {str(self.list_file(split))!r}: {known}.')
        return names

    def image_ids(self, split: str) -> list[str]:
        """Images of the annotation file, in its order; raises ValueError if another split has an image of the same name."""
        path = self.list_file(split)
        for image_id, name in read_names(path).images.items():
            place = (split, below(self.data_root / split, name, f'image {image_id!r} of {str(path)!r}'))
            if self._places.setdefault(image_id, place) != place:
                raise ValueError(
                    f'Image {image_id!r} is in the splits {self._places[image_id][0]!r} and {split!r}: open one of them at a time.'
                )
        return list(read_names(path).images)

    def _place(self, image_id: str) -> tuple[str, Path] | None:
        """Split and file of an image; None if it is not in any annotation file."""
        if image_id not in self._places:
            for split in self._splits():
                self.image_ids(split)
        return self._places.get(image_id)

    def image_path(self, image_id: str) -> Path:
        """The image file; all lists are searched for an image that has not been listed before."""
        place = self._place(image_id)
        if place is None or not place[1].is_file():
            raise FileNotFoundError(f'Image {image_id!r} is missing: {f"no {place[1]}" if place else "no annotation file contains it"}.')
        return place[1]

    def tags(self, split: str, source: str | os.PathLike[str] = 'lists', use_difficult: bool = False) -> dict[str, list[int]]:
        """Image tags: the categories of a split's annotations (``'lists'`` and ``'xml'`` alike), or from a file; see :meth:`ImageSet.tags`.

        An image's crowds are its difficult objects.
        """
        if source not in ('lists', 'xml'):
            return tags_from_file(Path(source), self.image_ids(split), self.classes)
        names = self._names(split)
        found = {i: names.present[i] | (names.crowds[i] if use_difficult else set()) for i in names.images}
        return {image_id: [label for label, name in enumerate(self.classes) if name in shown] for image_id, shown in found.items()}


_File = TypeVar('_File', bound=AnnotationFile)


def read_coco(path: Path, kind: type[_File]) -> _File:
    """Read the fields defined by ``kind`` from a COCO file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a COCO file, or an annotation has an unknown image or category; the message names the location.
    """
    content = read_json(path, kind, "a COCO file with 'images', 'annotations' and 'categories'")
    for what, entries in (('image', content.images), ('category', content.categories)):
        known = {entry.id for entry in entries}
        if len(known) < len(entries):
            raise ValueError(f'{str(path)!r} has duplicate ids among its {"images" if what == "image" else "categories"}.')
        for number, note in enumerate(content.annotations):
            if (found := getattr(note, f'{what}_id')) not in known:
                raise ValueError(f'annotations[{number}] of {str(path)!r} has the unknown {what}_id {found!r}.')
    return content


def read_annotations(path: Path, kind: type[_File]) -> tuple[_File, dict[Id, str], dict[Id, str]]:
    """Like :func:`read_coco`, with distinct image names required: returns the content, image names by id and category names by id."""
    content = read_coco(path, kind)
    for image in content.images:
        image.file_name = checked_name(image.file_name, f'image {image.id!r} of {str(path)!r}')
    names = [image.file_name for image in content.images]
    check_distinct(names, str(path))
    image_ids = {name: image_id for image_id, name in identities(names).items()}
    ids = {image.id: image_ids[image.file_name] for image in content.images}
    categories = {category.id: category.name for category in content.categories}
    if twice := [name for name, count in Counter(categories.values()).items() if count > 1]:
        raise ValueError(f'{str(path)!r} has two categories with the name {twice[0]!r}. Category names must be unique.')
    return content, ids, categories

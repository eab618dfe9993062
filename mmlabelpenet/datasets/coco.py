"""Reader of COCO as it is published: ``ROOT/annotations/instances_SPLIT.json`` and ``ROOT/SPLIT/IMAGE.jpg``.

Training asks for image lists and tags alone; :func:`read_names` drops boxes and masks while it reads. They are for metrics and tools.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open.
"""

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .tag_files import tags_from_file
from .voc import VOID, VOCDevkit, VOCMasks, VOCObjects


class Names(NamedTuple):
    """What training may know of an annotation file.

    Attributes:
        images: file name by image id (the name without suffix), in the order of the file.
        categories: all names of categories.
        present: image id -> names of categories that it shows; ``crowds`` those of which it shows crowds only.
        crowds: see above.
    """

    images: dict[str, str]
    categories: frozenset[str]
    present: dict[str, set[str]]
    crowds: dict[str, set[str]]


@lru_cache(maxsize=2)
def read_names(path: Path) -> Names:
    """Read image names and categories of a COCO file; boxes and masks are thrown away as the parser meets them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no COCO annotation file.
    """
    content = _read(path, names_only=True)
    ids = {image['id']: Path(image['file_name']).stem for image in content['images']}
    names = {category['id']: category['name'] for category in content['categories']}
    single: dict[str, set[str]] = {image_id: set() for image_id in ids.values()}
    crowds: dict[str, set[str]] = {image_id: set() for image_id in ids.values()}
    for note in content['annotations']:
        (crowds if note.get('iscrowd') else single)[ids[note['image_id']]].add(names[note['category_id']])
    only_crowds = {image_id: found - single[image_id] for image_id, found in crowds.items()}
    return Names({Path(i['file_name']).stem: i['file_name'] for i in content['images']}, frozenset(names.values()), single, only_crowds)


class COCODevkit(VOCDevkit):
    """COCO with the methods of :class:`VOCDevkit`. A split is the name of a folder of images, such as ``train2017``.

    Args:
        data_root: the folder that holds ``annotations`` and those of the images.
        classes: names of categories in label order; objects of other categories are left out.
        mask_classes: not used; COCO's masks carry their category.

    Raises:
        FileNotFoundError: no COCO there.
    """

    def __init__(self, data_root: str | os.PathLike[str], classes: Sequence[str], mask_classes: Sequence[str] | None = None) -> None:
        self.data_root, self.classes = Path(data_root), tuple(classes)
        if not (self.data_root / 'annotations').is_dir():
            raise FileNotFoundError(f'Expected COCO at {str(data_root)!r}, but it has no folder {"annotations"!r}.')
        self._places: dict[str, Path] = {}
        self._notes: dict[str, list[dict]] = {}

    def list_file(self, split: str) -> Path:
        """The annotation file of a split.

        Raises:
            FileNotFoundError: no such split.
        """
        path = self.data_root / 'annotations' / f'instances_{split}.json'
        if not path.is_file():
            known = sorted(file.stem.removeprefix('instances_') for file in path.parent.glob('instances_*.json'))
            raise FileNotFoundError(f'No split {split!r}: {str(path)!r} is missing. Splits there: {", ".join(known) or "none"}.')
        return path

    def image_ids(self, split: str) -> list[str]:
        """Images of the annotation file, in its order.

        Raises:
            FileNotFoundError: no such split.
            ValueError: its file is no COCO annotation file.
        """
        images = read_names(self.list_file(split)).images
        self._places |= {image_id: self.data_root / split / name for image_id, name in images.items()}
        return list(images)

    def image_path(self, image_id: str) -> Path:
        """The image file.

        Raises:
            FileNotFoundError: there is none, or none of a split that was asked for.
        """
        path = self._places.get(image_id)
        if path is None or not path.is_file():
            raise FileNotFoundError(f'Image {image_id!r} is missing: no {str(path) if path else "split that was opened has it"}.')
        return path

    def tags(self, split: str, source: str | os.PathLike[str] = 'lists', use_difficult: bool = False) -> dict[str, list[int]]:
        """Image tags of a split: the categories of its annotations, or those of a .csv or .json file of tags.

        Args:
            split: such as ``train2017``.
            source: ``'lists'`` or ``'xml'``, COCO's own categories, or the path of a .csv or .json file.
            use_difficult: also tag categories of which the image has crowds only.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a class is no category of the file.
        """
        if source not in ('lists', 'xml'):
            return tags_from_file(Path(source), self.image_ids(split), self.classes)
        names = read_names(self.list_file(split))
        if unknown := [name for name in self.classes if name not in names.categories]:
            raise ValueError(
                f'{", ".join(unknown)} are no categories of {str(self.list_file(split))!r}: {", ".join(sorted(names.categories))}.'
            )
        found = {i: names.present[i] | (names.crowds[i] if use_difficult else set()) for i in names.images}
        return {image_id: [label for label, name in enumerate(self.classes) if name in shown] for image_id, shown in found.items()}

    def objects(self, image_id: str) -> VOCObjects:
        """Annotated objects of the wanted classes; crowds count as difficult."""
        notes = self._annotations(image_id)
        boxes = np.array([note['bbox'] for note in notes], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return VOCObjects(boxes, self._labels(notes), np.array([bool(note.get('iscrowd')) for note in notes], bool))

    def instance_masks(self, image_id: str) -> VOCMasks:
        """Instance masks of the wanted classes, without crowds."""
        notes = [note for note in self._annotations(image_id) if not note.get('iscrowd')]
        size = self.image_size(image_id)
        masks = [_decode(note['segmentation'], size) for note in notes]
        return VOCMasks(self._labels(notes), np.stack(masks) if masks else np.zeros((0, *size), bool))

    def class_mask(self, image_id: str) -> NDArray[np.uint8]:
        """uint8 (h, w): 0 background, 1 + k class k, 255 crowds; where objects overlap the smaller one is seen."""
        size = self.image_size(image_id)
        painted = np.zeros(size, np.uint8)
        for note in sorted(self._annotations(image_id), key=lambda note: (not note.get('iscrowd'), -note['area'])):
            painted[_decode(note['segmentation'], size)] = VOID if note.get('iscrowd') else 1 + self.classes.index(note['name'])
        return painted

    def _labels(self, notes: Sequence[dict]) -> NDArray[np.int64]:
        return np.array([self.classes.index(note['name']) for note in notes], np.int64)

    def _annotations(self, image_id: str) -> list[dict]:
        """Annotations of an image, boxes and masks included: for metrics only."""
        if image_id not in self._notes:
            split = self.image_path(image_id).parent.name
            content = _read(self.list_file(split), names_only=False)
            ids = {image['id']: Path(image['file_name']).stem for image in content['images']}
            names = {category['id']: category['name'] for category in content['categories']}
            self._notes |= {name: [] for name in ids.values()}
            for note in content['annotations']:
                if names[note['category_id']] in self.classes and min(note['bbox'][2:]) > 0:
                    self._notes[ids[note['image_id']]].append({**note, 'name': names[note['category_id']]})
        return self._notes[image_id]


def open_devkit(
    data_root: str | os.PathLike[str], classes: Sequence[str], mask_classes: Sequence[str] | None = None
) -> VOCDevkit | COCODevkit:
    """The reader for a folder: :class:`COCODevkit` where it holds ``annotations``, else :class:`VOCDevkit`; arguments are theirs."""
    kind = COCODevkit if (Path(data_root) / 'annotations').is_dir() else VOCDevkit
    return kind(data_root, classes, mask_classes)


def _read(path: Path, names_only: bool) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'), object_hook=_without_places if names_only else None)
    except ValueError as error:
        raise ValueError(f'{str(path)!r} is not readable as JSON: {error}.') from error
    if not isinstance(content, dict) or not {'images', 'annotations', 'categories'} <= set(content):
        raise ValueError(f"{str(path)!r} should hold COCO's 'images', 'annotations' and 'categories'.")
    return content


def _without_places(entry: dict[str, Any]) -> dict[str, Any]:
    for key in ('bbox', 'segmentation', 'area'):
        entry.pop(key, None)
    return entry


def _decode(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Polygons, or a run-length code compressed or not, as a mask bool (h, w)."""
    codes = segmentation
    if isinstance(segmentation, list) or isinstance(segmentation['counts'], list):
        codes = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(coco_mask.merge(codes) if isinstance(codes, list) else codes).astype(bool)

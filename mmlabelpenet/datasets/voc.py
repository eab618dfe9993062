"""Reader of a VOC devkit: image lists, tags, and the ground truth for metrics.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open, so that
plain IoU equals the devkit's "+1" IoU.
"""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..files import below, checked_name
from ..schema import read_text
from .devkit import VOID, Devkit, Masks, Objects, void_of
from .image_names import identities, is_image_name, read_image_list
from .images import read_indices
from .tag_files import is_difficult, parse_xml, tags_from_file, tags_from_lists, tags_from_xml, unknown_tag

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip

_FLAGGED = re.compile(r'\S\s+(-1|0|1)$')


class VOCDevkit(Devkit):
    """One year of a VOC devkit, or another data set in its layout.

    Args:
        data_root: the folder that holds ``Annotations``, ``JPEGImages`` and ``ImageSets``, such as ``VOCdevkit/VOC2012``.
        classes: names in label order; objects of other classes are left out. None for VOC's 20.
        mask_classes: classes behind the indices 1, 2, ... of ``SegmentationClass``; these names may also occur in annotations without being
            wanted. None: those of ``labelmap.txt``; without that file VOC's 20 where ``classes`` are among them, else ``classes``.

    Raises:
        FileNotFoundError: no devkit there.
        ValueError: a class stands twice or is not in ``mask_classes``.
    """

    def __init__(
        self, data_root: str | os.PathLike[str], classes: Sequence[str] | None = None, mask_classes: Sequence[str] | None = None
    ) -> None:
        self.data_root = Path(data_root)
        self.classes = VOC_CLASSES if classes is None else tuple(classes)
        if mask_classes is None:
            usual = VOC_CLASSES if set(self.classes) <= set(VOC_CLASSES) else self.classes
            mask_classes = read_label_map(self.data_root / 'labelmap.txt') or usual
        self.mask_classes = tuple(mask_classes)
        for folder in ('ImageSets', 'JPEGImages'):
            if not (self.data_root / folder).is_dir():
                raise FileNotFoundError(
                    f'Expected a VOC devkit at {str(self.data_root)!r}, but it has no folder {folder!r}. '
                    'Give the folder that holds Annotations, ImageSets and JPEGImages, such as VOCdevkit/VOC2012.'
                )
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f'Classes must differ from each other, got {", ".join(self.classes)}.')
        if not set(self.classes) <= set(self.mask_classes):
            extra = sorted(set(self.classes) - set(self.mask_classes))
            raise ValueError(f'Every class must be in mask_classes, but {", ".join(extra)} are not.')
        self._folders: dict[str, dict[str, str]] = {}

    def list_file(self, split: str) -> Path:
        """The file that lists the images of a split, in ``ImageSets/Main`` or else in ``ImageSets/Segmentation``.

        Both folders have a ``val`` and a ``test`` in VOC 2012; ``'Segmentation/val'`` names the folder too.

        Raises:
            FileNotFoundError: no such list.
        """
        for folder in ('Main', 'Segmentation', ''):
            path = self.data_root / 'ImageSets' / folder / f'{split}.txt'
            if path.is_file():
                return path
        raise FileNotFoundError(
            f'No split {split!r} in {str(self.data_root / "ImageSets")!r}: neither Main nor Segmentation has {split}.txt. '
            f'Splits there: {", ".join(self._splits()) or "none"}.'
        )

    def image_ids(self, split: str) -> list[str]:
        """Images of a list, in its order.

        Raises:
            FileNotFoundError: no such list.
            ValueError: the list is empty, names an image twice, or is that of one class.
        """
        path = self.list_file(split)
        names = read_image_list(path)
        if all(_FLAGGED.search(name) for name in names) and not self._knows(names[0]):
            raise ValueError(f'{str(path)!r} is the list of one class: its lines end in 1, 0 or -1. Give the list of a split.')
        return names

    def image_path(self, image_id: str) -> Path:
        """The image file.

        Args:
            image_id: path below ``JPEGImages`` without the suffix of an image, or with it where files differ in that alone.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the name leaves ``JPEGImages``.
        """
        folder = self.data_root / 'JPEGImages'
        if not self._knows(checked_name(image_id)):
            raise FileNotFoundError(f'Image {image_id!r} is missing: no {image_id}.jpg, .jpeg or .png in {str(folder)!r}.')
        parent, _, name = image_id.rpartition('/')
        return folder / parent / self._folders[parent][name]

    def _knows(self, image_id: str) -> bool:
        parent, _, name = image_id.rpartition('/')
        if parent not in self._folders:
            folder = self.data_root / 'JPEGImages' / parent
            names = [entry.name for entry in os.scandir(folder) if is_image_name(entry.name)] if folder.is_dir() else []
            self._folders[parent] = identities(sorted(names))
        return name in self._folders[parent]

    def tags(self, split: str, source: str | os.PathLike[str] = 'lists', use_difficult: bool = False) -> dict[str, list[int]]:
        """Image tags from ``<class>_<split>.txt`` (``'lists'``), from names in the annotation files, whose boxes are not parsed
        (``'xml'``), or from a file; see :meth:`Devkit.tags`."""
        image_ids = self.image_ids(split)
        if source == 'lists':
            return tags_from_lists(self.data_root / 'ImageSets/Main', split, image_ids, self.classes, use_difficult)
        if source == 'xml':
            return tags_from_xml(self.data_root / 'Annotations', image_ids, self.classes, self.mask_classes, use_difficult)
        return tags_from_file(Path(source), image_ids, self.classes)

    def is_annotated(self, image_id: str) -> bool:
        """Whether the image has an annotation file."""
        return self._annotation(image_id).is_file()

    def objects(self, image_id: str) -> Objects:
        """Objects of the wanted classes in the annotation file, difficult ones included; errors as in :meth:`Devkit.objects`."""
        return self._objects(image_id, {name: label for label, name in enumerate(self.classes)})

    def all_boxes(self, image_id: str) -> Objects:
        """All objects of the annotation file, whatever their class; every label is 0."""
        return self._objects(image_id, None)

    def _objects(self, image_id: str, wanted: dict[str, int] | None) -> Objects:
        """Objects of the classes that have a label, or of all."""
        path = self._annotation(image_id)
        named = [((element.findtext('name') or '').strip(), element) for element in parse_xml(path).iter('object')]
        found = [(name, element) for name, element in named if wanted is None or name in wanted]
        for name, _ in named if wanted is not None else ():
            if name not in wanted and name not in self.mask_classes:
                raise unknown_tag(name, self.classes, repr(str(path)))
        return Objects(
            bboxes=np.array([read_box(element, path) for _, element in found], np.float32).reshape(-1, 4),
            labels=np.array([0 if wanted is None else wanted[name] for name, _ in found], np.int64),
            difficult=np.array([is_difficult(element) for _, element in found], bool),
        )

    def _annotation(self, image_id: str) -> Path:
        return below(self.data_root / 'Annotations', f'{image_id}.xml')

    def instance_masks(self, image_id: str) -> Masks | None:
        """Instance masks of the wanted classes; None where the image has no ``SegmentationObject``.

        An instance's class is the one that most of its pixels have in ``SegmentationClass``; void pixels belong to none.

        Raises:
            FileNotFoundError: ``SegmentationClass`` is missing although ``SegmentationObject`` is there.
            ValueError: a file is not a label image, or the two differ in size.
        """
        instances = self._indices('SegmentationObject', image_id)
        if instances is None:
            return None
        classes = self._indices('SegmentationClass', image_id)
        if classes is None:
            raise FileNotFoundError(
                f'{image_id!r} has a file in SegmentationObject but none in SegmentationClass of {str(self.data_root)!r}.'
            )
        if classes.shape != instances.shape:
            raise ValueError(f'Label images of {image_id!r} differ in size: class {classes.shape}, object {instances.shape}.')
        table = self._label_table()
        labels, masks = [], []
        for number in np.setdiff1d(np.unique(instances), [0, VOID]):
            mask = instances == number
            votes = np.bincount(classes[mask], minlength=256)
            votes[[0, VOID]] = 0
            label = int(table[votes.argmax()]) - 1
            if votes.any() and label >= 0:
                labels.append(label)
                masks.append(mask)
        return Masks(np.array(labels, np.int64), np.stack(masks) if masks else np.zeros((0, *instances.shape), bool))

    def class_mask(self, image_id: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """(h, w), of the type of :func:`void_of`: 0 background, 1 + k class k, void; unwanted classes are background. None without a file.

        Raises:
            ValueError: the file is not a label image or has an index beyond ``mask_classes``.
        """
        indices = self._indices('SegmentationClass', image_id)
        return None if indices is None else self._label_table()[indices]

    def _splits(self) -> list[str]:
        names = {path.stem for folder in ('Main', 'Segmentation') for path in (self.data_root / 'ImageSets' / folder).glob('*.txt')}
        of_classes = {f'{name}_{split}' for name in {*self.mask_classes, *VOC_CLASSES} for split in names}
        return sorted(names - of_classes)

    def _label_table(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(256,), from an index of SegmentationClass to 0, 1 + label or void."""
        table = np.zeros(256, void_of(len(self.classes)).dtype)
        table[VOID] = void_of(len(self.classes))
        for label, name in enumerate(self.classes):
            if self.mask_classes.index(name) < VOID - 1:  # the files have 8 bits
                table[1 + self.mask_classes.index(name)] = 1 + label
        return table

    def _indices(self, folder: str, image_id: str) -> NDArray[np.uint8] | None:
        path = below(self.data_root / folder, f'{image_id}.png')
        if not path.is_file():
            return None
        indices = read_indices(path)
        if folder == 'SegmentationClass':
            beyond = indices[(indices > len(self.mask_classes)) & (indices != VOID)]
            if beyond.size:
                raise ValueError(f'{str(path)!r} has the class index {beyond[0]}, but there are {len(self.mask_classes)} mask_classes.')
        return indices


def read_label_map(path: Path) -> tuple[str, ...]:
    """Classes behind the indices 1, 2, ... of ``SegmentationClass``; none without such a file, or where background is not index 0.

    Raises:
        ValueError: a line is not ``name:r,g,b:parts:actions``.
    """
    lines = read_text(path).splitlines() if path.is_file() else []
    names = [line.split(':')[0].strip() for line in lines if line.strip() and not line.startswith('#')]
    if any(line.count(':') != 3 for line in lines if line.strip() and not line.startswith('#')):
        raise ValueError(f"A line of {str(path)!r} is not 'name:r,g,b:parts:actions'.")
    return tuple(name for name in names[1:] if name != 'ignored') if names[:1] == ['background'] else ()


def read_box(element: ElementTree.Element, path: Path) -> tuple[float, float, float, float]:
    """A 1-based inclusive VOC box as 0-based half-open xyxy."""
    texts = [element.findtext(f'bndbox/{side}') for side in ('xmin', 'ymin', 'xmax', 'ymax')]
    try:
        x1, y1, x2, y2 = (float(text or '') for text in texts)
    except ValueError:
        x1 = y1 = x2 = y2 = math.nan
    box = (x1 - 1, y1 - 1, x2, y2)
    if not all(map(math.isfinite, box)) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f'An object {element.findtext("name")!r} in {str(path)!r} needs a box xmin <= xmax, ymin <= ymax, got {texts}.')
    return box

"""Reader of a VOC devkit: image lists, tags, and the ground truth for metrics.

Training calls :meth:`VOCDevkit.image_ids`, :meth:`~VOCDevkit.image_path` and :meth:`~VOCDevkit.tags` alone; boxes and masks are for metrics
and tools.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open, so that
plain IoU equals the devkit's "+1" IoU.
"""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..files import below, checked_name
from .image_names import identities, is_image_name, read_image_list
from .tag_files import is_difficult, parse_xml, tags_from_file, tags_from_lists, tags_from_xml

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip

VOID = 255
_FLAGGED = re.compile(r'\S\s+(-1|0|1)$')
_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that swap height and width


@dataclass(frozen=True)
class VOCObjects:
    """Annotated objects of an image: ``bboxes`` float32 (G, 4), ``labels`` int64 (G,), ``difficult`` bool (G,)."""

    bboxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class VOCMasks:
    """Instance masks of an image: ``labels`` int64 (M,), ``masks`` bool (M, h, w)."""

    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]


class VOCDevkit:
    """One year of a VOC devkit, or another data set in its layout.

    Args:
        data_root: the folder that holds ``Annotations``, ``JPEGImages`` and ``ImageSets``, such as ``VOCdevkit/VOC2012``.
        classes: names in label order; objects of other classes are left out.
        mask_classes: classes behind the indices 1, 2, ... of ``SegmentationClass``; these names may also occur in annotations without being
            wanted. None: VOC's 20 where ``classes`` are among them, else ``classes``.

    Raises:
        FileNotFoundError: no devkit there.
        ValueError: a class stands twice or is not in ``mask_classes``.
    """

    def __init__(self, data_root: str | os.PathLike[str], classes: Sequence[str], mask_classes: Sequence[str] | None = None) -> None:
        self.data_root = Path(data_root)
        self.classes = tuple(classes)
        if mask_classes is None:
            mask_classes = VOC_CLASSES if set(self.classes) <= set(VOC_CLASSES) else self.classes
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
        """Image tags of a split; an image without any has an empty list.

        Args:
            split: name of the image list.
            source: ``'lists'`` (``<class>_<split>.txt``), ``'xml'`` (names in the annotation files; boxes are not parsed) or the path of a
                .csv or .json file.
            use_difficult: also tag classes of which the image has difficult objects only (lists and XML).

        Returns:
            Sorted labels of each image, in the order of the list.

        Raises:
            FileNotFoundError: a list, annotation or tag file is missing.
            ValueError: a file is unreadable, a tag is no class, or an image is missing or stands twice.
        """
        image_ids = self.image_ids(split)
        if source == 'lists':
            return tags_from_lists(self.data_root / 'ImageSets/Main', split, image_ids, self.classes, use_difficult)
        if source == 'xml':
            return tags_from_xml(self.data_root / 'Annotations', image_ids, self.classes, self.mask_classes, use_difficult)
        return tags_from_file(Path(source), image_ids, self.classes)

    def image_size(self, image_id: str) -> tuple[int, int]:
        """(h, w) of the image as a reader that heeds the EXIF orientation sees it; only the header is read.

        Raises:
            FileNotFoundError: the image is missing.
            ValueError: the file is no image.
        """
        path = self.image_path(image_id)
        try:
            with Image.open(path) as image:
                w, h = image.size
                turned = image.getexif().get(_EXIF_ORIENTATION) in _TURNED
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f'Image {str(path)!r} is not readable: {error}.') from error
        return (w, h) if turned else (h, w)

    def objects(self, image_id: str) -> VOCObjects:
        """Annotated objects of the wanted classes, difficult ones included.

        Raises:
            FileNotFoundError: the annotation file is missing.
            ValueError: the file is unreadable or a box is none.
        """
        path = below(self.data_root / 'Annotations', f'{image_id}.xml')
        index = {name: label for label, name in enumerate(self.classes)}
        found = [element for element in parse_xml(path).iter('object') if (element.findtext('name') or '').strip() in index]
        return VOCObjects(
            bboxes=np.array([_read_box(element, path) for element in found], np.float32).reshape(-1, 4),
            labels=np.array([index[(element.findtext('name') or '').strip()] for element in found], np.int64),
            difficult=np.array([is_difficult(element) for element in found], bool),
        )

    def instance_masks(self, image_id: str) -> VOCMasks | None:
        """Instance masks of the wanted classes; None where the image has no ``SegmentationObject``.

        An instance's class is the one that most of its pixels have in ``SegmentationClass``; void pixels belong to none.

        Raises:
            FileNotFoundError: ``SegmentationClass`` is missing although ``SegmentationObject`` is there.
            ValueError: a file is no label image, or the two differ in size.
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
        return VOCMasks(np.array(labels, np.int64), np.stack(masks) if masks else np.zeros((0, *instances.shape), bool))

    def class_mask(self, image_id: str) -> NDArray[np.uint8] | None:
        """uint8 (h, w): 0 background, 1 + k class k, 255 void; unwanted classes are background. None where there is no such file.

        Raises:
            ValueError: the file is no label image or has an index beyond ``mask_classes``.
        """
        indices = self._indices('SegmentationClass', image_id)
        return None if indices is None else self._label_table()[indices]

    def _splits(self) -> list[str]:
        names = {path.stem for folder in ('Main', 'Segmentation') for path in (self.data_root / 'ImageSets' / folder).glob('*.txt')}
        of_classes = {f'{name}_{split}' for name in {*self.mask_classes, *VOC_CLASSES} for split in names}
        return sorted(names - of_classes)

    def _label_table(self) -> NDArray[np.uint8]:
        """uint8 (256,), from an index of SegmentationClass to 0, 1 + label or 255."""
        table = np.zeros(256, np.uint8)
        table[VOID] = VOID
        for label, name in enumerate(self.classes):
            table[1 + self.mask_classes.index(name)] = 1 + label
        return table

    def _indices(self, folder: str, image_id: str) -> NDArray[np.uint8] | None:
        path = below(self.data_root / folder, f'{image_id}.png')
        if not path.is_file():
            return None
        try:
            with Image.open(path) as image:
                if image.mode not in ('P', 'L'):
                    raise ValueError(f'{str(path)!r} should be a palette or grey image of indices, its mode is {image.mode}.')
                indices = np.asarray(image, np.uint8)
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f'Label image {str(path)!r} is not readable: {error}.') from error
        if folder == 'SegmentationClass':
            beyond = indices[(indices > len(self.mask_classes)) & (indices != VOID)]
            if beyond.size:
                raise ValueError(f'{str(path)!r} has the class index {beyond[0]}, but there are {len(self.mask_classes)} mask_classes.')
        return indices


def read_boxes(path: Path) -> VOCObjects:
    """All objects of an annotation file, whatever their class; every label is 0. For tools that measure proposals.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is unreadable or a box is none.
    """
    found = list(parse_xml(path).iter('object'))
    return VOCObjects(
        bboxes=np.array([_read_box(element, path) for element in found], np.float32).reshape(-1, 4),
        labels=np.zeros(len(found), np.int64),
        difficult=np.array([is_difficult(element) for element in found], bool),
    )


def _read_box(element: ElementTree.Element, path: Path) -> tuple[float, float, float, float]:
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

"""Image lists and tags of a VOC devkit; boxes and masks are read by :mod:`mmlabelpenet.evaluation.voc`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..files import require_file
from ..formats.file_names import checked_name
from ..formats.image_names import identities, is_image_name, read_image_list
from ..formats.tag_files import tags_from_file, tags_from_lists, tags_from_xml
from ..schema import read_text
from .image_set import ImageSet

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip

_FLAGGED = re.compile(r'\S\s+(-1|0|1)$')


class VOCImages(ImageSet):
    """Images of one year of a VOC devkit, or of another data set in its layout.

    Args:
        data_root: the folder that contains ``Annotations``, ``JPEGImages`` and ``ImageSets``, such as ``VOCdevkit/VOC2012``.
        classes: names in label order; objects of other classes are ignored. None for VOC's 20.
        mask_classes: classes behind the indices 1, 2, ... of ``SegmentationClass``; these names may also occur in annotations without being
            in ``classes``. None: those of ``labelmap.txt``; without that file VOC's 20 if they include ``classes``, else ``classes``.

    Raises:
        FileNotFoundError: there is no devkit.
        ValueError: a class appears twice or is not in ``mask_classes``.
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
                    'Use the folder that contains Annotations, ImageSets and JPEGImages, such as VOCdevkit/VOC2012.'
                )
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f'Class names must be unique, got {", ".join(self.classes)}.')
        if not set(self.classes) <= set(self.mask_classes):
            extra = sorted(set(self.classes) - set(self.mask_classes))
            raise ValueError(f'Every class must be in mask_classes, which lacks {", ".join(extra)}.')
        self._folders: dict[str, dict[str, str]] = {}

    def list_file(self, split: str) -> Path:
        """The file that lists the images of a split, in ``ImageSets/Main`` or else in ``ImageSets/Segmentation``.

        In VOC 2012, both folders have a ``val`` and a ``test``; ``'Segmentation/val'`` selects the folder.
        """
        paths = [self.data_root / 'ImageSets' / folder / f'{split}.txt' for folder in ('Main', 'Segmentation', '')]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            raise FileNotFoundError(
                f'No split {split!r} in {str(self.data_root / "ImageSets")!r}: neither Main nor Segmentation has {split}.txt. '
                f'Available splits: {", ".join(self._splits()) or "none"}.'
            )
        require_file(path)
        return path

    def image_ids(self, split: str) -> list[str]:
        """Images of a list, in its order; raises ValueError if it is empty, names an image twice, or is the list of a class."""
        path = self.list_file(split)
        names = read_image_list(path)
        if all(_FLAGGED.search(name) for name in names) and not self._knows(names[0]):
            raise ValueError(f'{str(path)!r} is the list of one class: its lines end in 1, 0 or -1. Use the list of a split.')
        return names

    def image_path(self, image_id: str) -> Path:
        """The image file, identified by its path below ``JPEGImages`` without extension, or with it if names would clash."""
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
        (``'xml'``), or from a file; see :meth:`ImageSet.tags`.
        """
        image_ids = self.image_ids(split)
        if source == 'lists':
            return tags_from_lists(self.data_root / 'ImageSets/Main', split, image_ids, self.classes, use_difficult)
        if source == 'xml':
            return tags_from_xml(self.data_root / 'Annotations', image_ids, self.classes, self.mask_classes, use_difficult)
        return tags_from_file(Path(source), image_ids, self.classes)

    def _splits(self) -> list[str]:
        names = {path.stem for folder in ('Main', 'Segmentation') for path in (self.data_root / 'ImageSets' / folder).glob('*.txt')}
        of_classes = {f'{name}_{split}' for name in {*self.mask_classes, *VOC_CLASSES} for split in names}
        return sorted(names - of_classes)


def read_label_map(path: Path) -> tuple[str, ...]:
    """Classes of the indices 1, 2, ... of ``SegmentationClass``; none without such a file, or if background is not index 0."""
    lines = read_text(path).splitlines() if path.is_file() else []
    names = [line.split(':')[0].strip() for line in lines if line.strip() and not line.startswith('#')]
    if any(line.count(':') != 3 for line in lines if line.strip() and not line.startswith('#')):
        raise ValueError(f"A line of {str(path)!r} is not 'name:r,g,b:parts:actions'.")
    return tuple(name for name in names[1:] if name != 'ignored') if names[:1] == ['background'] else ()

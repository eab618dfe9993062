"""Common interface to data sets of all layouts, for training: image lists, files and tags.

Boxes and masks are read by :mod:`mmlabelpenet.evaluation.devkit`, which training never imports.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ..schema import short


class ImageSet(ABC):
    """Image lists, image files and tags.

    Attributes:
        data_root: folder of the data set.
        classes: names in label order.
    """

    data_root: Path
    classes: tuple[str, ...]

    @abstractmethod
    def list_file(self, split: str) -> Path:
        """The image list of a split; raises FileNotFoundError if there is no such split."""

    @abstractmethod
    def image_ids(self, split: str) -> list[str]:
        """Images of a split, in its order.

        Raises:
            FileNotFoundError: no such split.
            ValueError: its file is damaged.
        """

    @abstractmethod
    def image_path(self, image_id: str) -> Path:
        """The image file; raises FileNotFoundError if it does not exist."""

    @abstractmethod
    def tags(self, split: str, source: str | os.PathLike[str] = 'lists', use_difficult: bool = False) -> dict[str, list[int]]:
        """Sorted labels of the image tags of a split, by image in the order of the split; empty for an image without tags.

        Args:
            split: name of the split.
            source: ``'lists'`` or ``'xml'``, as the data set provides them, or the path of a .csv or .json file.
            use_difficult: also tag classes of which the image has only difficult objects.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged, a tag is not a class, or an image is missing or listed twice.
        """

    def image_size(self, image_id: str) -> tuple[int, int]:
        """(h, w) of the image after applying its EXIF orientation; only the header is read.

        Raises:
            FileNotFoundError: the image is missing.
            ValueError: the file is not an image.
        """
        from ..formats.images import image_size  # metrics do not need OpenCV

        return image_size(self.image_path(image_id), min_side=1)


def is_coco(data_root: str | os.PathLike[str]) -> bool:
    """Whether a folder has COCO's layout; all others have VOC's."""
    return (Path(data_root) / 'annotations').is_dir()


def open_images(data_root: str | os.PathLike[str], classes: Sequence[str] | None = None) -> ImageSet:
    """Open the images in a folder: COCO if it contains ``annotations``, else VOC layout.

    Args:
        data_root: such as ``data/VOCdevkit/VOC2012`` or ``data/coco``.
        classes: names in label order; None for the published classes of the layout.

    Raises:
        FileNotFoundError: the folder has neither layout.
        ValueError: ``classes`` is a single string, not a sequence of names.
    """
    if isinstance(classes, str):
        raise ValueError(f'Classes must be a sequence of names, got the string {classes!r}: use metainfo=dict(classes=({classes!r}, ...)).')
    if classes is not None and not (isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)):
        raise ValueError(f'Classes must be a list or a tuple of names, whose order defines the labels, got {short(classes)}.')
    from .coco import COCOImages  # subclasses of the interface above
    from .voc import VOCImages

    return (COCOImages if is_coco(data_root) else VOCImages)(data_root, classes)

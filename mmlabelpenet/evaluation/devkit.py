"""Common interface to annotated data sets of all layouts: boxes and masks for metrics and tools. Training never imports it.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open.
"""

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..datasets.image_set import ImageSet, is_coco

VOID = 255


def void_of(num_classes: int) -> np.uint8 | np.uint16:
    """The value of void pixels in a semantic map, in the map's dtype: 8 bits for up to 254 classes, else 16 bits.

    >>> int(void_of(254)), int(void_of(255))
    (255, 65535)
    """
    return np.uint8(VOID) if num_classes < VOID else np.uint16(65535)


@dataclass(frozen=True)
class Objects:
    """Annotated objects of an image: ``bboxes`` float32 (G, 4), ``labels`` int64 (G,), ``difficult`` bool (G,)."""

    bboxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class Masks:
    """Instance masks of an image: ``labels`` int64 (M,), ``masks`` bool (M, h, w)."""

    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]


class ResultNames(NamedTuple):
    """Ids in COCO-format results: ``images`` maps image id -> ``image_id``, ``classes`` maps name -> ``category_id``."""

    images: dict[str, str | int]
    classes: dict[str, int]


class Devkit(ImageSet):
    """An image set with annotations; objects of classes other than :attr:`classes` are ignored."""

    @abstractmethod
    def is_annotated(self, image_id: str) -> bool:
        """Whether the boxes of an image are known; not for a test list with annotations on a server, or for data with tags only."""

    @abstractmethod
    def objects(self, image_id: str) -> Objects:
        """Annotated objects of the selected classes, including difficult ones.

        Raises:
            FileNotFoundError: the annotations are missing.
            ValueError: they are damaged.
        """

    @abstractmethod
    def all_boxes(self, image_id: str) -> Objects:
        """Like :meth:`objects`, for every class, with all labels 0. For tools that evaluate proposals."""

    @abstractmethod
    def instance_masks(self, image_id: str) -> Masks | None:
        """Instance masks of the selected classes; None for an image without mask annotations.

        Raises:
            FileNotFoundError: a part of the annotations is missing.
            ValueError: they are damaged.
        """

    @abstractmethod
    def class_mask(self, image_id: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """Semantic map (h, w) with the dtype of :func:`void_of`: 0 is background, 1 + k class k, void; other classes are background. None
        if there is none.

        Raises:
            ValueError: it is damaged.
        """

    def result_names(self, split: str) -> ResultNames:
        """Ids of the images of a split and of the classes in results: image names, and 1 + label."""
        return ResultNames({name: name for name in self.image_ids(split)}, {name: label for label, name in enumerate(self.classes, 1)})


def open_devkit(
    data_root: str | os.PathLike[str], classes: Sequence[str] | None = None, mask_classes: Sequence[str] | None = None
) -> Devkit:
    """Open the annotated data set in a folder: COCO if it contains ``annotations``, else VOC layout.

    Args:
        data_root: such as ``data/VOCdevkit/VOC2012`` or ``data/coco``.
        classes: names in label order; None for the published classes of the layout.
        mask_classes: for the VOC layout, classes of the indices in ``SegmentationClass``.

    Raises:
        FileNotFoundError: the folder has neither layout.
    """
    from .coco import COCODevkit  # subclasses of the interface above
    from .voc import VOCDevkit

    return COCODevkit(data_root, classes) if is_coco(data_root) else VOCDevkit(data_root, classes, mask_classes)

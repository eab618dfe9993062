"""Ground truth of a VOC devkit.

Shapes: G objects and M instance masks of one image, (h, w) image. Boxes: float32 xyxy in original pixels, 0-based and half-open, so that
plain IoU equals the devkit's "+1" IoU.
"""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..datasets.voc import VOCImages
from ..formats.file_names import below
from ..formats.images import read_indices
from ..formats.tag_files import is_difficult, parse_xml, unknown_tag
from .devkit import VOID, Devkit, Masks, Objects, void_of


class VOCDevkit(VOCImages, Devkit):
    """One year of a VOC devkit, or another data set in its layout; arguments as for :class:`~mmlabelpenet.datasets.voc.VOCImages`."""

    def is_annotated(self, image_id: str) -> bool:
        """Whether the image has an annotation file."""
        return self._annotation(image_id).is_file()

    def objects(self, image_id: str) -> Objects:
        """Objects of the selected classes in the annotation file, including difficult ones; errors as for :meth:`Devkit.objects`."""
        return self._objects(image_id, {name: label for label, name in enumerate(self.classes)})

    def all_boxes(self, image_id: str) -> Objects:
        """All objects of the annotation file, of any class, with label 0."""
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
        """Instance masks of the selected classes; None if the image has no ``SegmentationObject``.

        The class of an instance is that of most of its pixels in ``SegmentationClass``; void pixels belong to no instance.

        Raises:
            FileNotFoundError: ``SegmentationClass`` is missing although ``SegmentationObject`` exists.
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
        """Semantic map (h, w) with the dtype of :func:`void_of`: 0 is background, 1 + k class k, void; other classes are background. None
        without a file.

        Raises:
            ValueError: the file is not a label image, or it has an index beyond ``mask_classes``.
        """
        indices = self._indices('SegmentationClass', image_id)
        return None if indices is None else self._label_table()[indices]

    def _label_table(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Lookup table (256,) from an index of SegmentationClass to 0, 1 + label or void."""
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


def read_box(element: ElementTree.Element, path: Path) -> tuple[float, float, float, float]:
    """A 1-based inclusive VOC box as 0-based half-open xyxy."""
    texts = [element.findtext(f'bndbox/{side}') for side in ('xmin', 'ymin', 'xmax', 'ymax')]
    try:
        x1, y1, x2, y2 = (float(text or '') for text in texts)
    except ValueError:
        x1 = y1 = x2 = y2 = math.nan
    box = (x1 - 1, y1 - 1, x2, y2)
    if not all(map(math.isfinite, box)) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(
            f'The object {element.findtext("name")!r} in {str(path)!r} needs a box with xmin <= xmax, ymin <= ymax, got {texts}.'
        )
    return box

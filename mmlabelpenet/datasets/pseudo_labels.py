"""The label store: the labels that a trained stage has generated for every training image (Sec. 3.3, cascaded pre-training).

It is a COCO-format JSON file in pixels of the original image. Each annotation also has ``weight`` and ``stage``; ``info`` has a header that
identifies the weights and the generator. :mod:`~mmlabelpenet.datasets.label_writer` writes it.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.label_schema import Annotation, Image, Line, LineInstance, Store
from mmlabelpenet.files import file_hash, require_file
from mmlabelpenet.formats.file_names import checked_name
from mmlabelpenet.formats.image_names import check_distinct
from mmlabelpenet.formats.rle import RLE, checked_segmentation, enlarged_code
from mmlabelpenet.log import warn
from mmlabelpenet.schema import convert, counted, read_json

_TODO = 'Label stores are <work dir>/pseudo_labels/<stage>.json; if one is damaged, delete it, and training will regenerate it.'


class PseudoLabelStore:
    """Read access by image id; annotations are kept as text until they are needed.

    Crowds, and annotations without area inside their image, are ignored with a warning.

    Args:
        content: parsed JSON.
        source: the file, for messages.

    Attributes:
        header: identifies the weights and settings that generated the labels.
        image_ids, classes: image ids and category names, in the order of the file.
        file_hashes: SHA-256 of image files, where known.

    Raises:
        ValueError: the content is not a label store; the message names the location.
    """

    def __init__(self, content: dict | Store, source: str | Path = 'content') -> None:
        problem = f'{str(source)!r} is not a label store'
        store = content if isinstance(content, Store) else convert(content, Store, problem, _TODO)
        self.header, self._source = store.info, source
        self._images = {image.img_id: image for image in store.images}
        self._categories = {category.id: category.name for category in store.categories}
        self.image_ids, self.classes = [image.img_id for image in store.images], tuple(category.name for category in store.categories)
        try:
            _check_numbers(store)
            check_distinct(self.image_ids, str(source))
            for place, image in enumerate(store.images):
                checked_name(image.img_id, f'img_id of images[{place}]')
                checked_name(image.img_id if image.file_name is None else image.file_name, f'file_name of images[{place}]')
        except ValueError as error:
            raise ValueError(f'{problem} ({error}). {_TODO}') from error
        self.file_hashes = {image.img_id: image.sha256 for image in store.images if image.sha256}
        numbered = {image.id: image for image in store.images}
        kept = [note for note in store.annotations if not note.iscrowd and _has_area(note, numbered[note.image_id])]
        if len(kept) < len(store.annotations):
            count = counted(len(store.annotations) - len(kept), 'pseudo label', 'is', of=len(store.annotations))
            warn(f'{count} ignored: crowds, or boxes without area in their image.')
        self._weights = np.array([annotation.weight for annotation in kept])
        self._used = {annotation.category_id for annotation in kept}
        found: dict[int, list[Annotation]] = {image.id: [] for image in store.images}
        for annotation in kept:
            found[annotation.image_id].append(annotation)
        store.annotations.clear()  # at COCO's size they take more memory than the texts, so they are freed one by one
        del kept
        self._texts = {numbered[key].img_id: msgspec.json.encode(found.pop(key)) for key in list(found)}

    @classmethod
    def load(cls, path: str | Path) -> 'PseudoLabelStore':
        """Read a store; raises FileNotFoundError or ValueError if there is none."""
        require_file(path, f'Label store {path} does not exist. It is written at the end of the previous phase.')
        return cls(read_json(path, Store, 'a label store', _TODO), path)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def num_instances(self) -> int:
        """Of all images."""
        return len(self._weights)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The complete store as parsed JSON with checked segmentations; images without ``file_name`` get their id as name. Takes much
        memory.
        """
        images = [{**msgspec.to_builtins(image), 'file_name': image.file_name or image.img_id} for image in self._images.values()]
        annotations = [annotation for image_id in self.image_ids for annotation in self._annotations(image_id)]
        return dict(
            info=self.header,
            images=images,
            annotations=sorted(annotations, key=lambda annotation: annotation['id']),
            categories=[dict(id=key, name=name) for key, name in self._categories.items()],
        )

    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        digest = hashlib.sha256(
            msgspec.json.encode([self.header, list(self._images.values()), list(self._categories.items())], order='deterministic')
        )
        for text in self._texts.values():
            digest.update(text)
        return digest.hexdigest()

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise a ValueError if labels have a class that the data set lacks; the order of classes may differ."""
        unknown = sorted(self._categories[key] for key in self._used if self._categories[key] not in classes)
        if unknown:
            raise ValueError(
                f'Label store {self._source} has labels with classes that the data set lacks: {", ".join(unknown)}. '
                f'Classes of the data set: {", ".join(classes)}.'
            )

    def instances(self, img_id: str, classes: Sequence[str] | None = None) -> list[dict]:
        """Pseudo instances of one image as mmdet's ``instances``, with a ``weight`` each.

        Labels are indices into ``classes``, or into the store's own classes. An instance without segmentation has an empty mask, as
        objects with only a box (choice C13): its mask is not learnt.

        Raises:
            KeyError: the image is not in the store.
            ValueError: a segmentation is invalid or has another size.
        """
        if img_id not in self._texts:
            raise KeyError(f'The label store has no image {img_id!r}. It belongs to another split.')
        classes = self.classes if classes is None else classes
        return [
            dict(
                bbox=[a['bbox'][0], a['bbox'][1], a['bbox'][0] + a['bbox'][2], a['bbox'][1] + a['bbox'][3]],
                bbox_label=classes.index(self._categories[a['category_id']]),
                mask=a['segmentation'] or self._empty_mask(img_id),
                weight=a['weight'],
                ignore_flag=0,
            )
            for a in self._annotations(img_id)
        ]

    def _empty_mask(self, img_id: str) -> RLE | list[list[float]]:
        """An empty mask; a polygon without area if the size of the image is unknown."""
        size = self.size(img_id)
        return enlarged_code(np.zeros((1, 1), bool), size) if all(size) else [[0.0] * 6]

    def _annotations(self, img_id: str) -> list[dict]:
        """Annotations of an image, with checked segmentations: RLE with compressed counts, polygons only if the image size is unknown."""
        found = msgspec.json.decode(self._texts[img_id])
        for annotation in found:
            segmentation, image = annotation.setdefault('segmentation', None), self._images[img_id]
            try:
                if segmentation:
                    known = size = (image.height, image.width)
                    if not all(known):  # unknown size: that of the RLE itself; for polygons, one that allows any corner
                        size = tuple(segmentation['size']) if isinstance(segmentation, dict) else (1_000_000, 1_000_000)
                    code = checked_segmentation(segmentation, size)
                    if isinstance(code, list) and all(known):
                        code = coco_mask.merge(coco_mask.frPyObjects(code, *size))
                    if isinstance(code, dict):
                        annotation['segmentation'] = dict(size=list(size), counts=code['counts'].decode())
            except ValueError as error:
                number = annotation.get('id')
                raise ValueError(f'Annotation {number} of image {img_id!r} in {self._source} cannot be used: {error}. {_TODO}') from error
        return found

    def size(self, img_id: str) -> tuple[int, int]:
        """(h, w) of an image; zeros if unknown."""
        image = self._images[img_id]
        return image.height or 0, image.width or 0

    def line(self, img_id: str) -> Line:
        """An image in the form of a partial store."""
        image = self._images[img_id]
        instances = [
            LineInstance(a.bbox, self.classes.index(self._categories[a.category_id]), a.weight, a.segmentation)
            for a in msgspec.json.decode(self._texts[img_id], type=list[Annotation])
        ]
        return Line(img_id, image.file_name or img_id, *self.size(img_id), instances, image.sha256)

    def check_image(self, img_id: str, path: str | Path) -> None:
        """Raise a ValueError if an image file has changed since it was labelled; stores of other programs may not have hashes."""
        if img_id in self.file_hashes and file_hash(path) != self.file_hashes[img_id]:
            raise ValueError(
                f'{path} has changed since its pseudo labels were generated. Restore the image, or delete the store and resume from a '
                'checkpoint from before the phase to regenerate the labels.'
            )

    def summary(self) -> str:
        """One line for the log: number and mean weight of instances.

        >>> PseudoLabelStore(dict(info={}, images=[], annotations=[], categories=[])).summary()
        'no pseudo instance in 0 images'
        """
        if not self.num_instances:
            return f'no pseudo instance in {counted(len(self), "image")}'
        empty = sum(text == b'[]' for text in self._texts.values())
        return (
            f'{counted(self.num_instances, "pseudo instance")} in {counted(len(self), "image")} ({self.num_instances / len(self):.2f} '
            f'each, {counted(empty, "image")} without), mean weight {self._weights.mean():.3f}'
        )


def _check_numbers(store: Store) -> None:
    """Reject duplicate or unknown image and category ids; assign ids to annotations without one."""
    for what, entries in (('images', store.images), ('categories', store.categories)):
        numbers = [entry.id for entry in entries]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f'{what} need different ids')
    if len({category.name for category in store.categories}) < len(store.categories):
        raise ValueError('categories need different names')
    images, categories = ({entry.id for entry in entries} for entries in (store.images, store.categories))
    for place, annotation in enumerate(store.annotations):
        annotation.id = place + 1 if annotation.id is None else annotation.id
        for key, known in (('image_id', images), ('category_id', categories)):
            if getattr(annotation, key) not in known:
                raise ValueError(f'annotations[{place}] has the unknown {key} {getattr(annotation, key)}')


def _has_area(annotation: Annotation, image: Image) -> bool:
    """Whether a box has a positive width and height within its image."""
    x, y, width, height = annotation.bbox
    right, bottom = (side if side is not None else np.inf for side in (image.width, image.height))
    return min(x + width, right) > max(x, 0) and min(y + height, bottom) > max(y, 0)

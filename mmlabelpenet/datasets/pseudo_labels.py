"""The pseudo-label store: the labels that a finished stage has made for every training image (Sec. 3.3, cascaded pre-training).

A COCO-format JSON file in pixels of the original image. Each annotation also carries ``weight`` and ``stage``; ``info`` carries a
header that ties the store to the weights and the generator that made it. While it is being written, one text file per rank holds
one line per image, so that an interrupted pass goes on where it stopped.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.label_schema import Annotation, Category, Code, Image, Line, LineInstance, Store
from mmlabelpenet.files import atomic_write, checked_name, file_hash
from mmlabelpenet.formats.image_names import check_distinct
from mmlabelpenet.formats.rle import EncodedMasks, checked_segmentation, encoded
from mmlabelpenet.schema import convert, read_json

VERSION = 2
_TODO = 'Delete it; training makes it again.'


class PseudoLabelStore:
    """Read access by image id; what is known of an image is kept as text until it is asked for.

    Annotations without an area within their image are left out, with a warning.

    Args:
        content: parsed JSON.
        source: its file, for messages.

    Attributes:
        header: what ties the store to its maker.
        image_ids: images in the order of the file.
        classes: names of the categories.
        file_hashes: SHA-256 of the images' files, where they are known.

    Raises:
        ValueError: the content is not a store; the message names the place.
    """

    def __init__(self, content: dict | Store, source: str | Path = 'content') -> None:
        problem = f'{str(source)!r} is not a pseudo-label store'
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
        kept = [annotation for annotation in store.annotations if _has_area(annotation, numbered[annotation.image_id])]
        if len(kept) < len(store.annotations):
            message = f'{len(store.annotations) - len(kept)} of {len(store.annotations)} pseudo labels have no area within their image'
            print_log(f'{message} and are left out.', 'current', level=logging.WARNING)
        self._weights = np.array([annotation.weight for annotation in kept])
        self._used = {annotation.category_id for annotation in kept}
        found: dict[int, list[Annotation]] = {image.id: [] for image in store.images}
        for annotation in kept:
            found[annotation.image_id].append(annotation)
        if not isinstance(content, dict):
            store.annotations.clear()  # at COCO's size they take more memory than all texts: let go of them one by one
        del kept
        self._texts = {numbered[key].img_id: msgspec.json.encode(found.pop(key)) for key in list(found)}

    @classmethod
    def load(cls, path: str | Path) -> 'PseudoLabelStore':
        """Read a store.

        Raises:
            FileNotFoundError: there is none; it is made when the phase before ends.
            ValueError: the file is not a pseudo-label store.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'Pseudo-label store {path} does not exist. It is written when the phase before it ends.')
        return cls(read_json(path, Store, 'a pseudo-label store', _TODO), path)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def num_instances(self) -> int:
        """Of all images."""
        return len(self._weights)

    @cached_property
    def content(self) -> dict[str, Any]:
        """All of the store as parsed JSON, segmentations checked; for tools, since it takes much more memory."""
        images = [msgspec.to_builtins(image) for image in self._images.values()]
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
        """Compare the classes of the labels with those of a data set; their order may differ.

        Raises:
            ValueError: labels are of a class that the data set lacks.
        """
        unknown = sorted(self._categories[key] for key in self._used if self._categories[key] not in classes)
        if unknown:
            raise ValueError(
                f'Pseudo-label store {self._source} has labels of classes that the data set lacks: {", ".join(unknown)}. '
                f'Classes of the data set: {", ".join(classes)}.'
            )

    def instances(self, img_id: str, classes: Sequence[str] | None = None) -> list[dict]:
        """Pseudo instances of one image as mmdet's ``instances``, with a ``weight`` each.

        Args:
            img_id: of the data set.
            classes: names in label order; None for the order of the store's own.

        Raises:
            KeyError: the store does not know the image.
            ValueError: a segmentation cannot be drawn, or belongs to another size.
        """
        if img_id not in self._texts:
            raise KeyError(f'The pseudo-label store holds no image {img_id!r}. It was made from another split.')
        classes = self.classes if classes is None else classes
        return [
            dict(
                bbox=[a['bbox'][0], a['bbox'][1], a['bbox'][0] + a['bbox'][2], a['bbox'][1] + a['bbox'][3]],
                bbox_label=classes.index(self._categories[a['category_id']]),
                mask=a['segmentation'],
                weight=a['weight'],
                ignore_flag=0,
            )
            for a in self._annotations(img_id)
        ]

    def _annotations(self, img_id: str) -> list[dict]:
        """Annotations of an image, their segmentations checked."""
        found = msgspec.json.decode(self._texts[img_id])
        for annotation in found:
            segmentation, image = annotation.setdefault('segmentation', None), self._images[img_id]
            try:
                if segmentation:
                    size = (image.height, image.width) if image.height and image.width else tuple(_own_size(segmentation))
                    checked_segmentation(segmentation, size)
            except ValueError as error:
                number = annotation.get('id')
                raise ValueError(f'Annotation {number} of image {img_id!r} in {self._source} cannot be used: {error}. {_TODO}') from error
        return found

    def size(self, img_id: str) -> tuple[int, int]:
        """(h, w) of an image; zeros where the store does not know it."""
        image = self._images[img_id]
        return image.height or 0, image.width or 0

    def line(self, img_id: str) -> Line:
        """An image as a store that is being written has it."""
        image = self._images[img_id]
        instances = [
            LineInstance(a.bbox, self.classes.index(self._categories[a.category_id]), a.weight, a.segmentation)
            for a in msgspec.json.decode(self._texts[img_id], type=list[Annotation])
        ]
        return Line(img_id, image.file_name or img_id, *self.size(img_id), instances, image.sha256)

    def check_image(self, img_id: str, path: str | Path) -> None:
        """Compare an image's file with the one that was labelled; nothing is known of images in stores from elsewhere.

        Raises:
            ValueError: the file is another one.
            OSError: it cannot be read.
        """
        if img_id in self.file_hashes and file_hash(path) != self.file_hashes[img_id]:
            raise ValueError(
                f'{path} has changed since its pseudo labels were made. Put the old image back, or delete the store and resume from a '
                'checkpoint from before the phase: the labels are made again.'
            )

    def summary(self) -> str:
        """One line for the log: how many instances, how heavy.

        >>> PseudoLabelStore(dict(info={}, images=[], annotations=[], categories=[])).summary()
        'no pseudo instance in 0 images'
        """
        if not self.num_instances:
            return f'no pseudo instance in {len(self)} images'
        empty = sum(text == b'[]' for text in self._texts.values())
        return (
            f'{self.num_instances} pseudo instances in {len(self)} images ({self.num_instances / len(self):.2f} each, '
            f'{empty} images without), mean weight {self._weights.mean():.3f}'
        )


class PseudoLabelWriter:
    """Collects one line per image, resumes, and merges the ranks' lines into a store.

    A line begins with a checksum; one that was damaged is left out, and its image is labelled again.

    Args:
        path: of the finished store.
        header: what ties the store to its maker; a partial file with another header is discarded, with a warning that says what differs.
        rank: writes ``<path>.part<rank>``.
    """

    def __init__(self, path: str | Path, header: dict, rank: int = 0) -> None:
        self.path = Path(path)
        self.header = dict(header, version=VERSION)
        self.part = self.path.with_suffix(f'.part{rank}')
        lines = _read_part(self.part, self.header, warn=True)
        self.done = {line.img_id for line in lines}
        with atomic_write(self.part, 'wb') as file:
            file.writelines(map(_as_line, [self.header, *lines]))

    def add(self, img_id: str, file_name: str, ori_shape: tuple[int, int], pseudo: InstanceData, file: str | Path | None = None) -> None:
        """Append one image of a size (h, w).

        Args:
            img_id: of the data set.
            file_name: as read, for other programs; its folder is that of ``img_id``.
            ori_shape: (h, w).
            pseudo: pseudo instances in pixels of the original image; their masks may be :class:`~mmlabelpenet.formats.rle.EncodedMasks`.
            file: the image's file, so that readers notice when it changes.
        """
        codes = pseudo.masks.codes if isinstance(pseudo.masks, EncodedMasks) else map(encoded, pseudo.masks.masks)
        fields = zip(pseudo.bboxes.tolist(), pseudo.labels.tolist(), pseudo.weights.tolist(), codes, strict=True)
        line = Line(
            img_id,
            str(PurePosixPath(img_id).with_name(PurePosixPath(file_name).name)),
            int(ori_shape[0]),
            int(ori_shape[1]),
            [LineInstance((x1, y1, x2 - x1, y2 - y1), label, weight, Code(**code)) for (x1, y1, x2, y2), label, weight, code in fields],
            file_hash(file) if file is not None else None,
        )
        with self.part.open('ab') as file:
            file.write(_as_line(line))
        self.done.add(img_id)

    def take(self, store: PseudoLabelStore, img_id: str) -> None:
        """Append an image as another store has it."""
        with self.part.open('ab') as file:
            file.write(_as_line(store.line(img_id)))
        self.done.add(img_id)

    def finish(self, image_ids: Iterable[str], classes: tuple[str, ...]) -> PseudoLabelStore:
        """Merge all ranks' lines, in the order of ``image_ids``; the store appears by an atomic rename.

        Raises:
            ValueError: an image has no line.
        """
        lines, image_ids = self._lines(), list(image_ids)
        missing = [i for i in image_ids if i not in lines]
        if missing:
            raise ValueError(f'{len(missing)} images have no pseudo labels, the first is {missing[0]!r}. Run the pass again.')
        content = _coco(self.header, [lines[i] for i in image_ids], classes)
        del lines
        with atomic_write(self.path, 'wb') as file:
            file.write(msgspec.json.encode(content))
        for part in self._parts():
            part.unlink()
        return PseudoLabelStore(content, self.path)

    def labelled(self) -> set[str]:
        """Images that any rank has written; the same for all ranks while none of them writes."""
        return set(self._lines())

    def _parts(self) -> list[Path]:
        return [path for path in sorted(self.path.parent.iterdir()) if path.name.startswith(f'{self.path.stem}.part')]

    def _lines(self) -> dict[str, Line]:
        """Lines of all ranks by image; a file with another header is what a larger run with other weights left behind."""
        return {line.img_id: line for part in self._parts() for line in _read_part(part, self.header)}


def differences(given: dict, wanted: dict) -> list[str]:
    """Names of what one header has otherwise than another.

    >>> differences(dict(stage='detection', tags='a', version=2), dict(stage='detection', tags='b'))
    ['tags']
    """
    return [name for name, value in wanted.items() if given.get(name) != value]


def _check_numbers(store: Store) -> None:
    """Refuse numbers of images or categories that stand twice or nowhere; number annotations that have none."""
    for what, entries in (('images', store.images), ('categories', store.categories)):
        numbers = [entry.id for entry in entries]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f'{what} need different ids')
    images, categories = ({entry.id for entry in entries} for entries in (store.images, store.categories))
    for place, annotation in enumerate(store.annotations):
        annotation.id = place + 1 if annotation.id is None else annotation.id
        for key, known in (('image_id', images), ('category_id', categories)):
            if getattr(annotation, key) not in known:
                raise ValueError(f'annotations[{place}] has the unknown {key} {getattr(annotation, key)}')


def _has_area(annotation: Annotation, image: Image) -> bool:
    """Whether a box has a width and a height within its image."""
    x, y, width, height = annotation.bbox
    right, bottom = (side if side is not None else np.inf for side in (image.width, image.height))
    return min(x + width, right) > max(x, 0) and min(y + height, bottom) > max(y, 0)


def _own_size(segmentation: dict | list) -> list[int]:
    """The size that a run-length code gives itself; of polygons, one that takes any of their corners."""
    return segmentation['size'] if isinstance(segmentation, dict) else [1_000_000, 1_000_000]


def _coco(header: dict, lines: list[Line], classes: tuple[str, ...]) -> Store:
    images, annotations = [], []
    for number, line in enumerate(lines, 1):
        images.append(Image(number, line.img_id, line.file_name, line.height, line.width, line.sha256))
        for instance in line.instances:
            annotations.append(
                Annotation(
                    image_id=number,
                    category_id=instance.label + 1,
                    bbox=instance.bbox,
                    weight=instance.weight,
                    segmentation=instance.rle,
                    id=len(annotations) + 1,
                    area=float(coco_mask.area(msgspec.to_builtins(instance.rle))),
                    iscrowd=0,
                    stage=header.get('stage'),
                )
            )
    return Store(header, images, annotations, [Category(index, name) for index, name in enumerate(classes, 1)])


def _as_line(content: dict | Line) -> bytes:
    text = msgspec.json.encode(content)
    return hashlib.sha256(text).hexdigest()[:16].encode() + b' ' + text + b'\n'


def _read_part(path: Path, header: dict, warn: bool = False) -> list[Line]:
    """Whole lines of a file that may end in the middle of one; none of a file that another maker wrote."""
    if not path.is_file():
        return []
    texts = path.read_bytes().split(b'\n')[:-1]
    whole = [text[17:] for text in texts if hashlib.sha256(text[17:]).hexdigest()[:16].encode() == text[:16]]
    if not whole or whole[0] != msgspec.json.encode(header):
        if whole and warn:
            begun = msgspec.json.decode(whole[0], type=dict)
            print_log(
                f'{path} was begun with other {", ".join(differences(begun, header))} and is begun again.', 'current', logging.WARNING
            )
        return []
    if len(whole) < len(texts):
        print_log(
            f'{len(texts) - len(whole)} damaged lines of {path} are left out; their images are labelled again.', 'current', logging.WARNING
        )
    return [msgspec.json.decode(text, type=Line) for text in whole[1:]]

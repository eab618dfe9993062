"""The pseudo-label store: what a finished stage believes about every training image (Sec. 3.3, cascaded pre-training).

A COCO-format JSON file in pixels of the original image. Each annotation also carries ``weight`` and ``stage``; ``info`` carries a
header that ties the store to the weights and the generator that made it. While it is being written, one text file per rank holds
one line per image, so that an interrupted pass goes on where it stopped.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from mmlabelpenet.files import atomic_write

VERSION = 1


class PseudoLabelStore:
    """Read access by image id. Annotations without an area within their image are left out, with a warning.

    Args:
        content: parsed JSON.
    """

    def __init__(self, content: dict) -> None:
        self.header: dict = content['info']
        self.content = content | dict(annotations=_with_area(content['images'], content['annotations']))
        names = {image['id']: image['img_id'] for image in content['images']}
        self._pictures = {image['img_id']: image['sha256'] for image in content['images'] if image.get('sha256')}
        self._by_image: dict[str, list[dict]] = {name: [] for name in names.values()}
        for annotation in self.content['annotations']:
            self._by_image[names[annotation['image_id']]].append(annotation)

    @classmethod
    def load(cls, path: str | Path) -> 'PseudoLabelStore':
        """Read a store.

        Raises:
            FileNotFoundError: there is none; it is made when the phase before ends.
            ValueError: the file is no pseudo-label store.
        """
        if not Path(path).exists():
            raise FileNotFoundError(f'Pseudo-label store {path} does not exist. It is written when the phase before it ends.')
        try:
            return cls(json.loads(Path(path).read_text()))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is no pseudo-label store ({error!r}). Delete it; training makes it again.') from error

    def __len__(self) -> int:
        return len(self._by_image)

    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()

    def instances(self, img_id: str) -> list[dict]:
        """Pseudo instances of one image as mmdet's ``instances``, with a ``weight`` each.

        Raises:
            KeyError: the store does not know the image.
        """
        if img_id not in self._by_image:
            raise KeyError(f'The pseudo-label store holds no image {img_id!r}. It was made from another split.')
        return [
            dict(
                bbox=[a['bbox'][0], a['bbox'][1], a['bbox'][0] + a['bbox'][2], a['bbox'][1] + a['bbox'][3]],
                bbox_label=a['category_id'] - 1,
                mask=a['segmentation'],
                weight=a['weight'],
                ignore_flag=0,
            )
            for a in self._by_image[img_id]
        ]

    def check_picture(self, img_id: str, path: str | Path) -> None:
        """Compare an image's file with the one that was labelled; nothing is known of images in stores from elsewhere.

        Raises:
            ValueError: the file is another one.
            OSError: it cannot be read.
        """
        if img_id in self._pictures and picture_hash(path) != self._pictures[img_id]:
            raise ValueError(
                f'{path} has changed since its pseudo labels were made. Put the old picture back, or delete the store and resume from a '
                'checkpoint from before the phase: the labels are made again.'
            )

    def summary(self) -> str:
        """One line for the log: how many instances, how heavy.

        >>> PseudoLabelStore(dict(info={}, images=[], annotations=[])).summary()
        'no pseudo instance in 0 images'
        """
        weights = np.array([a['weight'] for a in self.content['annotations']])
        if not len(weights):
            return f'no pseudo instance in {len(self)} images'
        empty = sum(not found for found in self._by_image.values())
        return (
            f'{len(weights)} pseudo instances in {len(self)} images ({len(weights) / len(self):.2f} each, {empty} images without), '
            f'mean weight {weights.mean():.3f}'
        )


class PseudoLabelWriter:
    """Collects one line per image, resumes, and merges the ranks' lines into a store.

    Args:
        path: of the finished store.
        header: what ties the store to its maker; a partial file with another header is discarded.
        rank: writes ``<path>.part<rank>``.
    """

    def __init__(self, path: str | Path, header: dict, rank: int = 0) -> None:
        self.path = Path(path)
        self.header = dict(header, version=VERSION)
        self.part = self.path.with_suffix(f'.part{rank}')
        lines = _complete_lines(self.part)
        if not lines or lines[0] != self.header:
            lines = [self.header]
        self.done = {line['img_id'] for line in lines[1:]}
        with atomic_write(self.part) as file:
            file.writelines(json.dumps(line) + '\n' for line in lines)

    def add(self, img_id: str, file_name: str, ori_shape: tuple[int, int], pseudo: InstanceData, picture: str | Path | None = None) -> None:
        """Append one image.

        Args:
            img_id: of the data set.
            file_name: as read, for other programs.
            ori_shape: (h, w).
            pseudo: pseudo instances in pixels of the original image.
            picture: the image's file, so that readers notice when it changes.
        """
        instances = [
            dict(bbox=[float(v) for v in box], label=int(label), weight=float(weight), rle=_encode(mask))
            for box, label, weight, mask in zip(
                pseudo.bboxes.tolist(), pseudo.labels.tolist(), pseudo.weights.tolist(), pseudo.masks.masks, strict=True
            )
        ]
        line = dict(img_id=img_id, file_name=file_name, height=int(ori_shape[0]), width=int(ori_shape[1]), instances=instances)
        line['sha256'] = picture_hash(picture) if picture is not None else None
        with self.part.open('a') as file:
            file.write(json.dumps(line) + '\n')
        self.done.add(img_id)

    def finish(self, image_ids: Iterable[str], classes: tuple[str, ...]) -> PseudoLabelStore:
        """Merge all ranks' lines, in the order of ``image_ids``; the store appears by an atomic rename.

        Raises:
            ValueError: an image has no line.
        """
        lines = self._lines()
        missing = [i for i in image_ids if i not in lines]
        if missing:
            raise ValueError(f'{len(missing)} images have no pseudo labels, the first is {missing[0]!r}. Run the pass again.')
        content = _coco(self.header, [lines[i] for i in image_ids], classes)
        with atomic_write(self.path) as file:
            file.write(json.dumps(content))
        for part in self._parts():
            part.unlink()
        return PseudoLabelStore(content)

    def labelled(self) -> set[str]:
        """Images that any rank has written; the same for all ranks while none of them writes."""
        return set(self._lines())

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(f'{self.path.stem}.part*'))

    def _lines(self) -> dict[str, dict]:
        """Lines of all ranks by image; a file with another header is what a larger run with other weights left behind."""
        found = [_complete_lines(part) for part in self._parts()]
        return {line['img_id']: line for lines in found if lines and lines[0] == self.header for line in lines[1:]}


def _with_area(images: list[dict], annotations: list[dict]) -> list[dict]:
    """Annotations whose box has a width and a height within its image."""
    sizes = {image['id']: (image.get('width', np.inf), image.get('height', np.inf)) for image in images}

    def has_area(annotation: dict) -> bool:
        x, y, width, height = annotation['bbox']
        right, bottom = sizes[annotation['image_id']]
        return min(x + width, right) > max(x, 0) and min(y + height, bottom) > max(y, 0)

    kept = [annotation for annotation in annotations if has_area(annotation)]
    if len(kept) < len(annotations):
        message = f'{len(annotations) - len(kept)} of {len(annotations)} pseudo labels have no area within their image and are left out.'
        print_log(message, 'current', level=logging.WARNING)
    return kept


def picture_hash(path: str | Path) -> str:
    """SHA-256 of an image's file, hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _coco(header: dict, lines: list[dict], classes: tuple[str, ...]) -> dict:
    images, annotations = [], []
    for number, line in enumerate(lines, 1):
        images.append(dict(id=number, img_id=line['img_id'], **{k: line.get(k) for k in ('file_name', 'height', 'width', 'sha256')}))
        for instance in line['instances']:
            x1, y1, x2, y2 = instance['bbox']
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=instance['label'] + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=float(coco_mask.area(instance['rle'])),
                    segmentation=instance['rle'],
                    iscrowd=0,
                    weight=instance['weight'],
                    stage=header.get('stage'),
                )
            )
    categories = [dict(id=index, name=name) for index, name in enumerate(classes, 1)]
    return dict(info=header, images=images, annotations=annotations, categories=categories)


def _encode(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(v) for v in rle['size']], counts=rle['counts'].decode())


def _complete_lines(path: Path) -> list[dict]:
    """Parsed lines of a file that may end in the middle of one."""
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind('\n') + 1].splitlines()]

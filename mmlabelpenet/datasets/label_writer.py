"""Writes a label store: one text file per rank with one line per image, merged when the pass is complete.

An interrupted pass continues where it stopped.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import msgspec
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.label_schema import Annotation, Category, Code, Image, Line, LineInstance, Store
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.files import atomic_write, file_hash
from mmlabelpenet.formats.rle import EncodedMasks, encoded
from mmlabelpenet.log import warn
from mmlabelpenet.schema import counted

VERSION = 2


class PseudoLabelWriter:
    """Collects one line per image, resumes, and merges the lines of all ranks into a store.

    Each line starts with a checksum; damaged lines are dropped, and their images are labelled again.

    Args:
        path: path of the complete store.
        header: identifies the weights and settings that generated the labels; a partial file with another header is discarded, with a
            warning that names the difference.
        rank: writes ``<path>.part<rank>``.
        files: image files by id: a line of a partial file is used only if its image file has not changed.

    Raises:
        ValueError: the partial file would overwrite a file of another kind.
    """

    def __init__(self, path: str | Path, header: dict, rank: int = 0, files: Mapping[str, Path] | None = None) -> None:
        self.path = Path(path)
        self.header = dict(header, version=VERSION)
        self.part = self.path.with_suffix(f'.part{rank}')
        if self.part.exists() and not _is_part(self.part):
            raise ValueError(f'Expected a partial label store at {str(self.part)!r}, got another file. Move it, or delete it.')
        lines = _read_part(self.part, self.header, compared=True)
        lines = [line for line in lines if files is None or _is_of(line, files.get(line.img_id))]
        self.done = {line.img_id for line in lines}
        with atomic_write(self.part, 'wb') as file:
            file.writelines(map(_as_line, [self.header, *lines]))

    def add(self, img_id: str, file_name: str, ori_shape: tuple[int, int], pseudo: InstanceData, file: str | Path | None = None) -> None:
        """Append one image of size (h, w).

        Args:
            img_id: id in the data set.
            file_name: name of the image file, for other programs; its folder is that of ``img_id``.
            ori_shape: (h, w).
            pseudo: pseudo instances in pixels of the original image; their masks may be :class:`~mmlabelpenet.formats.rle.EncodedMasks`.
            file: the image file, so that readers notice if it changes.
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
        self.append(line)

    def append(self, line: Line) -> None:
        """Append one image, for example from :meth:`PseudoLabelStore.line` of another store."""
        with self.part.open('ab') as file:
            file.write(_as_line(line))
        self.done.add(line.img_id)

    def finish(self, image_ids: Iterable[str], classes: tuple[str, ...]) -> PseudoLabelStore:
        """Merge the lines of all ranks, in the order of ``image_ids``, into a store; raises ValueError if an image has no line."""
        lines, image_ids = self._lines(), list(image_ids)
        missing = [i for i in image_ids if i not in lines]
        if missing:
            raise ValueError(f'{counted(len(missing), "image", "has")} no pseudo labels, the first is {missing[0]!r}. Run the pass again.')
        content = _coco(self.header, [lines[i] for i in image_ids], classes)
        del lines
        with atomic_write(self.path, 'wb') as file:
            file.write(msgspec.json.encode(content))
        for part in self._parts():
            part.unlink()
        return PseudoLabelStore(content, self.path)

    def labelled(self) -> set[str]:
        """Images that any rank has written; the same on all ranks while none is writing."""
        return set(self._lines())

    def _parts(self) -> list[Path]:
        ours = re.compile(re.escape(self.path.stem) + r'\.part\d+')
        return [path for path in sorted(self.path.parent.iterdir()) if ours.fullmatch(path.name) and _is_part(path)]

    def _lines(self) -> dict[str, Line]:
        """Lines of all ranks by image; files with another header, left by an earlier run with more ranks, are ignored."""
        return {line.img_id: line for part in self._parts() for line in _read_part(part, self.header)}


def differences(given: dict, wanted: dict) -> list[str]:
    """Names of the entries in which two headers differ.

    >>> differences(dict(stage='detection', tags='a', version=2), dict(stage='detection', tags='b'))
    ['tags']
    """
    return [name for name, value in wanted.items() if given.get(name) != value]


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


def _is_of(line: Line, file: Path | None) -> bool:
    """Whether a file is unchanged since it was labelled."""
    return file is not None and file.is_file() and file_hash(file) == line.sha256


def _as_line(content: dict | Line) -> bytes:
    text = msgspec.json.encode(content)
    return hashlib.sha256(text).hexdigest()[:16].encode() + b' ' + text + b'\n'


def _is_part(path: Path) -> bool:
    """Whether a file is empty or starts like a partial store; other files are neither read nor deleted."""
    if not path.is_file():
        return False
    with path.open('rb') as file:
        start = file.read(18)
    return not start or re.fullmatch(rb'[0-9a-f]{16} \{', start) is not None


def _read_part(path: Path, header: dict, compared: bool = False) -> list[Line]:
    """Complete lines of a possibly truncated file; none if its header differs."""
    if not path.is_file():
        return []
    texts = path.read_bytes().split(b'\n')[:-1]
    whole = [text[17:] for text in texts if hashlib.sha256(text[17:]).hexdigest()[:16].encode() == text[:16]]
    if not whole or whole[0] != msgspec.json.encode(header):
        if whole and compared:
            begun = msgspec.json.decode(whole[0])
            warn(f'{path} was started with different {", ".join(differences(begun, header))} and is restarted.')
        return []
    if len(whole) < len(texts):
        damaged = counted(len(texts) - len(whole), f'damaged line of {path}', 'is')
        warn(f'{damaged} ignored; the affected images are labelled again.')
    return [msgspec.json.decode(text, type=Line) for text in whole[1:]]

"""Import corrected or drawn labels into a data set of own images, to train a stage and to evaluate.

* ``DIR/corrected.json``: a label store, for ``pseudo_labels`` of a phase
* ``DIR/Annotations/``, ``DIR/SegmentationObject/`` and ``DIR/SegmentationClass/``: annotations of imported images, for ``tools/test.py``
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import file_hash, given_path
from mmlabelpenet.formats.image_names import without_suffix
from mmlabelpenet.formats.tag_files import unknown_tag
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.exports.folder import replace_files
from mmlabelpenet.workbench.exports.labels import has_mask
from mmlabelpenet.workbench.exports.voc import write_label_map, write_labels
from mmlabelpenet.workbench.imports.coco import coco_files, read_coco
from mmlabelpenet.workbench.imports.labelme import read_labelme
from mmlabelpenet.workbench.imports.objects import ReadImage
from mmlabelpenet.workbench.imports.voc import read_voc
from mmlabelpenet.workbench.imports.yolo import read_yolo
from mmlabelpenet.workbench.own_data.dataset import OwnData

READERS: dict[str, Callable[[Path], list[ReadImage]]] = dict(labelme=read_labelme, coco=read_coco, voc=read_voc, yolo=read_yolo)
STORE = 'corrected.json'


@dataclass(frozen=True)
class Imported:
    """Summary of an import.

    Attributes:
        images: number of images by list (``train``, ``test``, ``new``).
        objects: number of objects in all images.
        as_exported: number of objects unchanged since their export.
        store: the label store for training; None if it would lack images of the training list.
        missing: images of the training list without labels.
    """

    images: Mapping[str, int]
    objects: int
    as_exported: int
    store: Path | None
    missing: int


def import_labels(root: str | Path, source: str | Path, kind: str | None = None) -> Imported:
    """Read labels and write them into a data set, replacing those of an earlier import.

    The store contains the imported labels and, for images that were not imported, those of ``labels.json``, written by ``own_data.py
    export``.

    Args:
        root: a data set created by ``own_data.py init``.
        source: folder or file of labels.
        kind: one of ``READERS``; None detects it.

    Raises:
        FileNotFoundError: no data set, or no labels.
        FileExistsError: the data set has annotations from another source.
        ValueError: labels for images or classes that are not in the data set, or malformed files.
    """
    data, source = OwnData.load(root), given_path(source)
    devkit = VOCDevkit(data.root, data.classes)
    images = {image.name: image for image in _matched(READERS[kind or find_kind(source)](source), data)}
    for name, image in images.items():
        _check(image, devkit.image_size(name), data.classes)
    earlier = data.root / 'labels.json'
    store = PseudoLabelStore.load(earlier) if earlier.is_file() else None
    entries = _entries(images, devkit, data, store)
    missing = [name for name in data.splits['train'] if name not in {entry['img_id'] for entry in entries['images']}]
    replace_files(data.root, lambda folder: _write(folder, entries, images, data, whole=not missing))
    found = [item for image in images.values() for item in image.objects]
    return Imported(
        {split: sum(name in images for name in names) for split, names in data.splits.items()},
        len(found),
        sum(item.as_exported for item in found),
        None if missing else data.root / STORE,
        len(missing),
    )


def find_kind(source: Path) -> str:
    """Detect the format of labels.

    Raises:
        FileNotFoundError: no known format.
    """
    if source.is_file() and source.suffix.lower() == '.json':
        return 'coco'
    if (source / 'Annotations').is_dir():
        return 'voc'
    if (source / 'data.yaml').is_file():
        return 'yolo'
    if coco_files(source):
        return 'coco'
    if source.is_dir() and any(source.rglob('*.json')):
        return 'labelme'
    raise FileNotFoundError(
        f'Expected LabelMe, COCO, VOC or YOLO labels at {str(source)!r}, found none. Pass their folder, or a COCO file.'
    )


def _matched(read: Sequence[ReadImage], data: OwnData) -> list[ReadImage]:
    """Labels by the names of the data set's images, matched by name or by the original name."""
    known = {name for names in data.splits.values() for name in names}
    by_source = Counter(PurePosixPath(Path(path).as_posix()).name for path in data.sources.values())
    originals = {Path(path).name: name for name, path in data.sources.items() if by_source[Path(path).name] == 1}
    found, strange = [], []
    for image in read:
        base = PurePosixPath(image.name).name
        names = [without_suffix(image.name), image.name, without_suffix(image.name.replace('/', '_')), without_suffix(base)]
        name = next((name for name in names if name in known), originals.get(base))
        strange += [image] if name is None else []
        found += [] if name is None else [replace(image, name=name)]
    if strange:
        raise ValueError(
            f'{counted(len(strange), "image", "is", of=len(read))} not in the data set {str(data.root)!r}, the first: '
            f'{strange[0].name[:60]!r}.'
        )
    twice = [name for name, count in Counter(image.name for image in found).items() if count > 1]
    if twice:
        number = counted(len(twice), 'image', 'has')
        raise ValueError(f'{number} labels in two files, the first: {twice[0][:60]!r}. Remove one of them.')
    return found


def _check(image: ReadImage, size: tuple[int, int], classes: Sequence[str]) -> None:
    if image.size != size:
        raise ValueError(
            f'{image.where!r} is for {image.size[0]} x {image.size[1]} pixels (h x w), but the image in the data set has {size[0]} x '
            f'{size[1]}. Label the images of the export, or of JPEGImages.'
        )
    for item in image.objects:
        if item.name not in classes:
            raise unknown_tag(item.name, classes, repr(image.where))


def _entries(images: Mapping[str, ReadImage], devkit: VOCDevkit, data: OwnData, earlier: PseudoLabelStore | None) -> dict:
    """Content of the label store."""
    names = [name for members in data.splits.values() for name in members]
    content: dict = dict(info=dict(stage='corrected'), images=[], annotations=[])
    content['categories'] = [dict(id=number, name=name) for number, name in enumerate(data.classes, 1)]
    before = {image['img_id']: image['id'] for image in earlier.content['images']} if earlier else {}
    labelled = earlier.file_hashes if earlier else {}
    notes: dict[int, list[dict]] = {number: [] for number in before.values()}
    for note in earlier.content['annotations'] if earlier else ():
        notes[note['image_id']].append(note)
    for name in names:
        if name not in images and name not in before:
            continue
        number, path = len(content['images']) + 1, devkit.image_path(name)
        size = images[name].size if name in images else devkit.image_size(name)
        content['images'].append(
            dict(
                id=number,
                img_id=name,
                file_name=path.relative_to(devkit.data_root / 'JPEGImages').as_posix(),
                height=size[0],
                width=size[1],
                sha256=file_hash(path) if name in images else labelled.get(name),  # an image replaced later is rejected
            )
        )
        for note in notes[before[name]] if name not in images else _notes(images[name], data.classes):
            content['annotations'].append(dict(note, id=len(content['annotations']) + 1, image_id=number))
    return content


def _notes(image: ReadImage, classes: Sequence[str]) -> list[dict]:
    """Annotations of an image, highest weight first."""
    return [
        dict(
            category_id=classes.index(item.name) + 1, bbox=list(item.bbox), area=float(coco_mask.area(item.segmentation)),
            segmentation=item.segmentation, iscrowd=0, weight=item.weight, stage='corrected',
        )
        for item in sorted(image.objects, key=lambda item: -item.weight)
    ]  # fmt: skip


def _write(folder: Path, content: Mapping, images: Mapping[str, ReadImage], data: OwnData, whole: bool) -> None:
    by_image: dict[int, list[dict]] = {image['id']: [] for image in content['images']}
    for note in content['annotations']:
        by_image[note['image_id']].append(note)
    for image in content['images']:
        if image['img_id'] in images:
            notes, name = by_image[image['id']], image['img_id'] + Path(image['file_name']).suffix
            # Label images of an image with only boxes would mean that it shows no object.
            write_labels(folder, name, image, notes, data.classes, masks=all(map(has_mask, notes)))
    write_label_map(folder, data.classes)
    if whole:
        (folder / STORE).write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')

"""Import labels from COCO files: masks as polygons or RLE, or only boxes."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.coco import AnnotationFile, Id, Mark
from mmlabelpenet.datasets.coco import read_coco as read_annotation_file
from mmlabelpenet.datasets.label_schema import Weight
from mmlabelpenet.formats.image_names import SUFFIXES
from mmlabelpenet.formats.rle import checked_rle
from mmlabelpenet.schema import Size
from mmlabelpenet.workbench.imports.objects import ReadImage, ReadObject, checked_box, checked_size, encoded, extent


class ImageEntry(msgspec.Struct):
    """An image; our field ``image`` is the original name, since an export may have renamed the file."""

    id: Id
    file_name: str
    height: Size
    width: Size
    image: str | None = None


class Annotation(Mark):
    """An annotation; ``weight`` is our field."""

    bbox: tuple[float, float, float, float] | None = None
    segmentation: list[Any] | dict[str, Any] | None = None
    weight: Weight | None = None


class File(AnnotationFile):
    """A COCO annotation file."""

    images: list[ImageEntry]
    annotations: list[Annotation]


def read_coco(source: Path) -> list[ReadImage]:
    """Objects of a COCO file, of ``train.json`` and ``val.json`` of an export, or of ``annotations/instances*.json``, without crowds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is malformed; says where.
    """
    paths = coco_files(source) if source.is_dir() else [source]
    if not paths:
        raise FileNotFoundError(f'{str(source)!r} contains neither train.json nor annotations/instances*.json. Pass the COCO file.')
    return [image for path in paths for image in _read(path)]


def coco_files(folder: Path) -> list[Path]:
    """COCO annotation files in a folder: those of an export, else those of COCO's layout.

    A LabelMe file of ``train.jpg`` is not one of them.
    """
    ours = [path for path in (folder / 'train.json', folder / 'val.json') if path.is_file()]
    if any(path.with_suffix(suffix).is_file() for path in ours for suffix in SUFFIXES):
        ours = []
    return ours or sorted((folder / 'annotations').glob('instances*.json'))


def _read(path: Path) -> list[ReadImage]:
    content = read_annotation_file(path, File)
    names = {category.id: category.name for category in content.categories}
    found: dict[Id, list[ReadObject]] = {image.id: [] for image in content.images}
    sizes = {image.id: checked_size(image.height, image.width, f'Image {image.id} of {str(path)!r}') for image in content.images}
    for number, note in enumerate(content.annotations, 1):
        where = f'Annotation {number} of {str(path)!r}'
        if not note.iscrowd:
            found[note.image_id].append(_object(note, names[note.category_id], sizes[note.image_id], where))
    return [ReadImage(image.image or image.file_name, sizes[image.id], found[image.id], str(path)) for image in content.images]


def _object(note: Annotation, name: str, size: tuple[int, int], where: str) -> ReadObject:
    code = _code(note.segmentation, size, where)
    ours = note.weight is not None
    if note.bbox is None:
        if not coco_mask.area(code):
            raise ValueError(f'{where} has neither a box nor a mask.')
        return ReadObject(name, extent(coco_mask.decode(code).astype(bool)), code)
    return ReadObject(name, checked_box(note.bbox, size, where), code, float(note.weight) if ours else 1.0, ours)


def _code(segmentation: list[Any] | dict[str, Any] | None, size: tuple[int, int], where: str) -> dict[str, Any]:
    """RLE of polygons or of another RLE; empty if there is none."""
    if not segmentation:
        return encoded(np.zeros(size, bool))
    if isinstance(segmentation, dict):
        try:
            code = checked_rle(segmentation, size)
        except ValueError as error:
            raise ValueError(f'{where}: {error}.') from error
        return dict(size=list(size), counts=code['counts'].decode())
    polygons = [np.asarray(polygon, np.float64) if _is_numbers(polygon) else np.zeros(0) for polygon in segmentation]
    if any(len(polygon) < 6 or len(polygon) % 2 or np.abs(polygon).max() > 10 * max(size) for polygon in polygons):
        raise ValueError(f'{where} has a polygon that is not a list [x1, y1, x2, y2, x3, y3, ...] of numbers in its image.')
    if all(_is_outside(polygon[::2], size[1]) or _is_outside(polygon[1::2], size[0]) for polygon in polygons):
        raise ValueError(f'{where} has a mask outside its image of {size[0]} x {size[1]} pixels (h x w).')
    code = coco_mask.merge(coco_mask.frPyObjects([polygon.tolist() for polygon in polygons], *size))
    return dict(size=list(size), counts=code['counts'].decode())


def _is_outside(values: NDArray[np.float64], side: int) -> bool:
    return bool(values.max() <= 0 or values.min() >= side)


def _is_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values)

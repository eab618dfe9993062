"""Import labels from a YOLO data set: polygons or boxes relative to the image size."""

import math
from pathlib import Path

import cv2
import numpy as np
import yaml

from mmlabelpenet.formats.image_names import find_images, without_suffix
from mmlabelpenet.formats.images import image_size
from mmlabelpenet.schema import read_text
from mmlabelpenet.workbench.imports.objects import ReadImage, ReadObject, checked_box, encoded, extent


def read_yolo(folder: Path) -> list[ReadImage]:
    """Objects of ``labels/*.txt`` next to ``images/*``, with a folder per split below or above; an image without a label file has no
    objects.

    Polygons are filled as in ultralytics, with coordinates truncated to whole pixels.

    Raises:
        FileNotFoundError: no ``data.yaml`` or no image.
        ValueError: a file is malformed.
    """
    names, found = yolo_names(folder), []
    images = [name for name in find_images(folder)[0] if 'images' in name.split('/')[:-1]]
    if not images:
        raise FileNotFoundError(f'{str(folder)!r} contains no images/. Use the folder with data.yaml, images and labels.')
    for name in images:
        before, _, after = f'/{name}'.rpartition('/images/')
        path, size = folder / before.lstrip('/') / 'labels' / f'{without_suffix(after)}.txt', image_size(folder / name, 1)
        lines = read_text(path).splitlines() if path.is_file() else []
        objects = [_object(line, f'Line {number} of {str(path)!r}', size, names) for number, line in enumerate(lines, 1) if line.strip()]
        found.append(ReadImage(after.removeprefix('train/').removeprefix('val/'), size, objects, str(path)))
    return found


def yolo_names(folder: Path) -> dict[int, str]:
    """Class names by index, from ``data.yaml``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it names no classes.
    """
    path = folder / 'data.yaml'
    try:
        names = (yaml.safe_load(read_text(path)) or {}).get('names')
    except (yaml.YAMLError, AttributeError, RecursionError) as error:
        raise ValueError(f'{str(path)!r} is not a YAML file of a YOLO data set ({" ".join(str(error).split())[:80]}).') from error
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(k, int) and isinstance(v, str | int) for k, v in names.items()):
        raise ValueError(f"{str(path)!r} needs the entry 'names' with a name for each class.")
    return {number: str(name) for number, name in names.items()}


def _object(line: str, where: str, size: tuple[int, int], names: dict[int, str]) -> ReadObject:
    try:
        number, *values = (float(word) for word in line.split())
    except ValueError:
        number, values = math.nan, []
    if number not in names or len(values) < 4 or len(values) % 2 or not np.isfinite(values).all() or np.abs(values).max() > 10:
        raise ValueError(f"{where} should be 'class x y w h' or 'class x1 y1 x2 y2 x3 y3 ...' with a class of data.yaml.")
    name, h, w = names[int(number)], *size
    if len(values) == 4:
        x, y, width, height = values
        box = ((x - width / 2) * w, (y - height / 2) * h, width * w, height * h)
        return ReadObject(name, checked_box(box, size, where), encoded(np.zeros(size, bool)))
    corners = (np.array(values, np.float32).reshape(-1, 2) * np.array([w, h], np.float32)).astype(np.int32)
    mask = cv2.fillPoly(np.zeros(size, np.uint8), [corners], 1) > 0
    if not mask.any():
        raise ValueError(f'{where} covers no pixel of its image.')
    return ReadObject(name, extent(mask), encoded(mask))

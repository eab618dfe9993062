"""Images of an export: upright copies in a widely readable format, with unique names."""

import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmlabelpenet.formats.file_names import below, fitted
from mmlabelpenet.formats.images import image_size, is_plain, read_rgb
from mmlabelpenet.progress import track
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.exports.labels import image_name
from mmlabelpenet.workbench.voc_files import copy_file

_JPEG = ('.jpg', '.jpeg')
_ENDING = 12  # bytes for a file extension, and for making stems unique


def export_names(images: Sequence[Mapping], source: Path | None, jpeg: bool = False, flat: bool = False) -> dict[int, str]:
    """Names of the exported images, by image id.

    A name is the image's path below its folder.

    It gets another extension if the file is converted, and an extended stem if two images would share it (``a.jpg`` and ``a.png``), because
    each stem has one label file; an extended stem never equals that of another image. A stem too long for the extensions of labels is
    truncated, and hidden files get a visible name, because programs skip them.

    Args:
        images: entries of a store.
        source: folder of the images; None if they are not exported, so nothing is converted.
        jpeg: convert all to ``.jpg``.
        flat: use ``_`` instead of ``/``.

    Raises:
        FileNotFoundError: some are not in the source folder.
        ValueError: an image has another size than its labels, cannot be read, or occurs twice.

    >>> export_names([dict(id=7, img_id='day/a', file_name='a.JPG', height=3, width=4)], None, flat=True)
    {7: 'day_a.JPG'}
    """
    wanted = {image['id']: image_name(image) for image in images}
    if source is not None:
        missing = [name for name in wanted.values() if not below(source, name).is_file()]
        if missing:
            number = counted(len(missing), 'image', 'is', of=len(images))
            raise FileNotFoundError(f'{number} not in {str(source)!r}, the first: {missing[0]!r}.')
    names: dict[int, str] = {}
    paths = {key: PurePosixPath(_seen(name.replace('/', '_') if flat else name)) for key, name in wanted.items()}
    first = {key: fitted(str(path.with_suffix('')), _ENDING) for key, path in paths.items()}
    stems: set[str] = set()
    own = Counter(map(str.casefold, first.values()))
    for image in images:
        key = image['id']
        suffix = paths[key].suffix if source is None else _suffix(below(source, wanted[key]), image, jpeg)
        stem = _free(first[key], paths[key].suffix, stems, own)
        stems.add(stem.casefold())
        names[key] = stem + suffix
    if len(set(wanted.values())) < len(wanted):
        raise ValueError(
            'Two images of the store have the same name, so the export cannot distinguish them. Use the paths of images as names.'
        )
    return names


def place_images(images: Sequence[Mapping], source: Path | None, target: Path, names: Mapping[int, str]) -> None:
    """Write images into a folder: plain upright files are copied, others are converted to 8-bit JPEG or PNG.

    Args:
        source: folder of the images; None writes nothing.
        names: result of :func:`export_names`.
    """
    for image in track(images if source is not None else (), 'images'):
        original, path = below(source, image_name(image)), target / names[image['id']]
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_plain(original, 1) and _is_jpeg(original) == (path.suffix.lower() in _JPEG):
            copy_file(original, path)
        elif path.suffix.lower() in _JPEG:
            path.write_bytes(jpeg_bytes(read_rgb(original, min_side=1)))
        else:
            buffer = io.BytesIO()
            Image.fromarray(read_rgb(original, min_side=1)).save(buffer, 'PNG')
            path.write_bytes(buffer.getvalue())


def jpeg_bytes(image: NDArray[np.uint8], quality: int = 95) -> bytes:
    """The image as a JPEG file.

    >>> jpeg_bytes(np.zeros((20, 30, 3), np.uint8))[:2]
    b'\\xff\\xd8'
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=quality)
    return buffer.getvalue()


def _suffix(path: Path, image: Mapping, jpeg: bool) -> str:
    size, wanted = image_size(path, 1), (image['height'], image['width'])
    if size != wanted:
        raise ValueError(
            f'Labels of {image["file_name"]!r} are for {wanted[0]} x {wanted[1]} pixels (h x w), {str(path)!r} has {size[0]} x {size[1]}. '
            'Use the folder of the labelled images.'
        )
    if jpeg:
        return '.jpg'
    if _is_jpeg(path):
        return path.suffix if path.suffix.lower() in _JPEG else '.jpg'
    return path.suffix if path.suffix.lower() == '.png' else '.png'


def _is_jpeg(path: Path) -> bool:
    with path.open('rb') as file:
        return file.read(3) == b'\xff\xd8\xff'


def _free(stem: str, suffix: str, taken: set[str], own: Collection[str]) -> str:
    """The stem, or an extended one, that is not taken (ignoring letter case); an extended one also differs from the ``own`` stems of all
    images.
    """
    longer = (f'{stem}_{end}' for end in (suffix[1:].lower(), *range(2, len(taken) + len(own) + 3)))
    return next(name for name in (stem, *longer) if name.casefold() not in taken and (name == stem or name.casefold() not in own))


def _seen(name: str) -> str:
    """A path without hidden folders and files."""
    return '/'.join(f'_{part}' if part.startswith('.') else part for part in name.split('/'))

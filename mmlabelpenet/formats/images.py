"""Read all kinds of images: with EXIF rotation, greyscale, CMYK, 16-bit, with a palette or transparency, tiny or huge.

Images: RGB uint8 (h, w, 3), upright. Sizes are (h, w).
"""

import io
import os
import re
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..files import given_path
from ..schema import counted
from .image_names import SUFFIXES, find_images
from .rle import MAX_PIXELS

MIN_SIDE = 16
MAX_RATIO = 100  # a longer image would vanish when it is scaled for the network
_MAX_SIDE = 65_500  # limit of JPEG files
_UNFIT = re.compile('[\x00-\x1f\x7f\ud800-\udfff]')  # in names
_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT = 0x0112, 0x0100, 0x0101
_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, Image.DecompressionBombError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
_DEEP = ('I;16', 'I;16B', 'I;16L', 'I;16N', 'I')  # Pillow's modes of 16-bit greyscale


def list_images(folder: str | Path) -> list[Path]:
    """All files with image extensions below a folder, sorted by path, including linked folders; hidden files and folders are skipped.

    Raises:
        FileNotFoundError: there is no such folder, or it has no image.
        ValueError: an empty text.
    """
    folder = given_path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'Expected a folder of images at {str(folder)!r}, but there is none.')
    found, _ = find_images(folder)
    if not found:
        raise FileNotFoundError(f'{str(folder)!r} contains no image. Expected files with the extensions {", ".join(SUFFIXES)}.')
    return [folder / name for name in found]


def misnamed_images(folder: str | Path) -> list[Path]:
    """Images below a folder that :func:`list_images` skips because of an unknown extension."""
    found = []
    for path in (Path(folder) / name for name in find_images(Path(folder))[1]):
        try:
            _opened(path, 1).close()
            found.append(path)
        except _DAMAGE:
            continue
    return found


def is_plain(path: str | Path, min_side: int = MIN_SIDE) -> bool:
    """Whether all programs read the file in the same way: an upright 8-bit greyscale or RGB JPEG or PNG. Only the header is read.

    Raises:
        ValueError: the file is not an image, or is too large or too long, or its shorter side is below ``min_side`` pixels.
    """
    with _opened(Path(path), min_side) as image:
        if image.format not in ('JPEG', 'PNG') or image.mode not in ('L', 'RGB') or _deep_png(image) or 'transparency' in image.info:
            return False
        return _orientation(image, path) in (0, 1)


def image_size(path: str | Path, min_side: int = MIN_SIDE) -> tuple[int, int]:
    """(h, w) of the upright image; only the header is read.

    Args:
        path: path of the file.
        min_side: minimum length of the shorter side in pixels.

    Raises:
        ValueError: as for :func:`read_rgb`.
    """
    with _opened(Path(path), min_side) as image:
        stored = image.size
        if image.format == 'TIFF':  # formats for which some Pillow versions return the upright size
            stored = int(image.tag_v2[_TIFF_WIDTH]), int(image.tag_v2[_TIFF_HEIGHT])
        return stored if _orientation(image, path) in (5, 6, 7, 8) else stored[::-1]


def read_rgb(path: str | Path, max_side: int = 0, min_side: int = MIN_SIDE) -> NDArray[np.uint8]:
    """Read any image as RGB, upright.

    Plain JPEG and PNG files are decoded by OpenCV, as in training. 16-bit values lose their lower byte, transparent pixels become white,
    and only the first frame of an animation is read.

    Args:
        path: path of the file.
        max_side: larger images are downscaled to this longer side, keeping at least 16 pixels on the shorter one; 0 keeps the size.
        min_side: minimum length of the shorter side in pixels.

    Returns:
        uint8 (h, w, 3).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, is damaged, has less than 16 or more than 65,500 pixels per side, is more
            than 100 times as long as wide, or has more than 178 megapixels.
    """
    path = Path(path)
    if is_plain(path, min_side):
        return shrink(read_image(path)[..., ::-1], max_side)
    with _opened(path, min_side) as image:
        try:
            return shrink(np.asarray(_to_rgb(ImageOps.exif_transpose(image))), max_side)
        except _DAMAGE as error:
            raise _unreadable(path, error, 'Store it as an 8-bit JPEG or PNG.') from error


def pillow_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """An open Pillow image as RGB, upright, as :func:`read_rgb` returns a file; raises ValueError if it cannot be decoded.

    >>> pillow_rgb(Image.new('L', (30, 20))).shape
    (20, 30, 3)
    """
    try:
        return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except _DAMAGE as error:
        raise _unreadable(getattr(image, 'filename', '') or 'The Pillow image', error) from error


def is_transparent(path: str | Path) -> bool:
    """Whether a file may have transparent pixels, which :func:`read_rgb` makes white; only the header is read.

    Raises:
        ValueError: the file is not an image, or has more than 178 megapixels.
    """
    with _opened(Path(path), 1) as image:
        return _has_transparency(image)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image of a data set as BGR, as decoded in training.

    All JPEG files are decoded in this way, because decoders differ for damaged files: some return grey pixels for missing ones. Transparent
    pixels become white.

    Returns:
        uint8 (h, w, 3).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, is damaged, or has more than 178 megapixels.
    """
    image_size(path, min_side=1)
    if is_transparent(path):
        return np.ascontiguousarray(read_rgb(path, min_side=1)[..., ::-1])
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, OSError, MemoryError) as error:
        raise _unreadable(path, error) from error
    if image is None:
        raise _unreadable(path, 'its header is valid, but its pixels are damaged')
    return image


def read_indices(path: str | Path, content: bytes | None = None) -> NDArray[np.uint8]:
    """Read a label image: the stored values of a palette or greyscale image, uint8 (h, w).

    Args:
        path: path of the file.
        content: content of the file, for a member of an archive; None reads the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of another kind, or has more than 178 megapixels.
    """
    with _opened(Path(path), 1, content) as image:
        if image.mode not in ('P', 'L'):
            raise ValueError(f'{str(path)!r} should be a palette or greyscale image of indices, but its mode is {image.mode}.')
        try:
            return np.asarray(image, np.uint8)
        except _DAMAGE as error:
            raise _unreadable(path, error) from error


def shrink(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Downscale an image whose longer side exceeds ``max_side``, keeping at least 16 pixels on the shorter side; 0 keeps the size.

    >>> shrink(np.zeros((300, 100, 3), np.uint8), 150).shape
    (150, 50, 3)
    """
    ratio = max(max_side / max(image.shape[:2]), MIN_SIDE / min(image.shape[:2]))
    if not max_side or ratio >= 1:
        return np.ascontiguousarray(image)
    size = round(image.shape[1] * ratio), round(image.shape[0] * ratio)
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)


def unusable(paths: Iterable[Path]) -> dict[Path, str]:
    """Unusable files with reasons; every file is decoded, which takes some milliseconds each."""
    problems = {}
    for path in paths:
        try:
            read_rgb(path)
        except (ValueError, FileNotFoundError) as error:
            problems[path] = str(error)
    return problems


def _opened(path: Path, min_side: int, content: bytes | None = None) -> Image.Image:
    if content is None and not path.is_file():
        kind = 'but this is not a file' if os.path.lexists(path) else 'but there is none'
        raise FileNotFoundError(f'Expected an image at {str(path)!r}, {kind}.')
    if _UNFIT.search(str(path)):
        raise ValueError(f'{str(path)!r} cannot be used: its name is not UTF-8 or contains a control character. Rename it.')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # MAX_PIXELS is our limit
            image = Image.open(path if content is None else io.BytesIO(content))
    except _DAMAGE as error:
        raise _unreadable(path, error) from error
    w, h = image.size
    longest = min(_MAX_SIDE, MAX_RATIO * min(h, w)) if min_side > 1 else MAX_PIXELS
    if min(h, w) < min_side or max(h, w) > longest or h * w > MAX_PIXELS:
        image.close()
        limits = f'at least {counted(min_side, "pixel")} per side and at most {MAX_PIXELS // 1_000_000} megapixels'
        limits += f', {_MAX_SIDE:,} pixels per side and {MAX_RATIO} times the shorter side' if min_side > 1 else ''
        raise ValueError(f'{str(path)!r} has {h} x {w} pixels (h x w); it needs {limits}. Resize or remove it.')
    return image


def _orientation(image: Image.Image, path: str | Path) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)  # may read the pixels of a PNG
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, why: object, todo: str = 'Replace or remove it.') -> ValueError:
    reason = ' '.join(str(why).split()) or type(why).__name__
    return ValueError(f'{str(path)!r} is not readable ({reason}). {todo}')


def _deep_png(image: Image.Image) -> bool:
    """Whether a PNG has 16 bits per channel, which its mode does not indicate."""
    tile = image.tile[0] if image.tile else None
    return image.format == 'PNG' and tile is not None and ';16' in str(tile[3])


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f'its values range from {values.min()} to {values.max()}, but 8 or 16 bits were expected')
        return Image.fromarray((values >> 8).astype(np.uint8)).convert('RGB')
    if image.mode == 'F':
        raise ValueError('it contains floating-point values, but 8 or 16 bits were expected')
    if _has_transparency(image):
        layer = image.convert('RGBA')
        return Image.alpha_composite(Image.new('RGBA', layer.size, 'white'), layer).convert('RGB')
    return image.convert('RGB')

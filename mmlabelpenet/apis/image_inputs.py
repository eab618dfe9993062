"""Inputs of the inferencer: images in any form, and a device."""

import glob
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mmlabelpenet.files import given_path
from mmlabelpenet.formats.image_names import identities
from mmlabelpenet.formats.images import MAX_RATIO, list_images, pillow_rgb

ImageInput = str | Path | NDArray[np.uint8] | Image.Image
_SINGLE = bytes | bytearray | Mapping | io.IOBase | torch.Tensor  # iterable, but no list of images


def usable_device(name: str | torch.device | None = None) -> torch.device:
    """The device of a name; the default is a GPU if there is one.

    Raises:
        ValueError: the device cannot be used.

    >>> usable_device('cpu')
    device(type='cpu')
    """
    name = ('cuda' if torch.cuda.is_available() else 'cpu') if name is None else name
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, NotImplementedError, AssertionError, TypeError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise ValueError(f'Device {str(name)!r} cannot be used here ({reason}). Choose cpu, or cuda:0 if there is a GPU.') from error
    return device


def expand(inputs: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """Expand files, arrays, folders and glob patterns into files and arrays; images of a folder are sorted.

    Raises:
        FileNotFoundError: no such file or folder, or nothing matches the pattern.
        ValueError: a URL, or an empty text.
        TypeError: an input of another type.
    """
    if isinstance(inputs, np.ndarray | Image.Image):
        return [inputs]
    if not isinstance(inputs, str | Path):
        if isinstance(inputs, _SINGLE) or not isinstance(inputs, Iterable):
            raise TypeError(
                'Expected an image file, a folder, a glob pattern, an RGB array uint8 (h, w, 3), a Pillow image, or a list of these, got '
                f'{type(inputs).__name__}. Convert it to one of them.'
            )
        return [source for item in inputs for source in expand(item)]
    text = str(inputs)
    if '://' in text:
        raise ValueError(f'Images are read from files, got the URL {text!r}. Download it first.')
    path = given_path(inputs)
    if path.is_dir():
        return list(list_images(path))
    if os.path.lexists(path):  # inputs that are not files are reported when it is their turn
        return [path]
    found = sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())
    if not found:
        raise FileNotFoundError(f'{text!r} is neither a file nor a folder, and as a pattern it matches no file.')
    return list(found)


def names_below(images: Iterable[Path]) -> tuple[Path, dict[str, str]]:
    """The common folder of all images, and their paths below it by id; an id is the path, without file extension if that is unique.

    >>> names_below([Path('in/day/a.jpg'), Path('in/night/a.jpg')])[1]
    {'day/a': 'day/a.jpg', 'night/a': 'night/a.jpg'}
    """
    paths = [Path(_absolute(path)) for path in images]
    root = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    return root, identities(dict.fromkeys(path.relative_to(root).as_posix() for path in paths))


def _absolute(path: str | os.PathLike[str]) -> str:
    """The absolute path, with one slash at its start; two have a meaning of their own in POSIX, so Python keeps them."""
    return '/' + os.path.abspath(path).lstrip('/')


def input_names(sources: Sequence[ImageInput]) -> list[str]:
    """The id of each file as given by :func:`names_below`, and ``array_<k>`` for an array or Pillow image at index k.

    >>> input_names(['in/a.jpg', np.zeros((20, 30), np.uint8)])
    ['a', 'array_1']
    """
    root, names = names_below(Path(source) for source in sources if isinstance(source, str | Path))
    ids = {str(root / name): image_id for image_id, name in names.items()}
    return [ids[_absolute(source)] if isinstance(source, str | Path) else f'array_{place}' for place, source in enumerate(sources)]


def checked_array(image: NDArray | Image.Image) -> NDArray[np.uint8]:
    """An RGB array, converted from greyscale or from a Pillow image if necessary.

    Raises:
        ValueError: another shape or dtype, or a side more than 100 times as long as the other.

    >>> checked_array(np.zeros((20, 30), np.uint8)).shape
    (20, 30, 3)
    """
    image = pillow_rgb(image) if isinstance(image, Image.Image) else np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or min(image.shape[:2]) < 1:
        raise ValueError(f'An image is an RGB array uint8 (h, w, 3) or a greyscale array uint8 (h, w), got {image.dtype} {image.shape}.')
    if max(image.shape[:2]) > MAX_RATIO * min(image.shape[:2]):
        raise ValueError(f'An image is at most {MAX_RATIO} times as long as wide, got {image.shape[:2]} (h, w).')
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image

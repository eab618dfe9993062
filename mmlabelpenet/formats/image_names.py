"""Names of images: an image is identified by its path below the image folder, without file extension.

If files differ only in the extension (``a.jpg`` and ``a.png``), the names keep it.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..schema import counted, read_text
from .file_names import checked_name

SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm', '.pgm', '.jp2', '.jxl', '.avif', '.heic',
    '.heif',
)  # fmt: skip


_SYSTEM = {'__MACOSX', '@eaDir', '#recycle', '$RECYCLE.BIN', 'System Volume Information', 'lost+found', '__pycache__'}


def is_passed_over(name: str) -> bool:
    """Whether a folder is hidden or created by an operating system.

    >>> is_passed_over('.git'), is_passed_over('cat')
    (True, False)
    """
    return name.startswith('.') or name in _SYSTEM


def is_image_name(name: str) -> bool:
    """Whether a name has the extension of an image format, readable or not.

    >>> is_image_name('a.JPG'), is_image_name('a.txt')
    (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """A name without an image extension; unchanged if the result would be empty or end in a space.

    >>> without_suffix('day/0001.jpg'), without_suffix('a.jpg.jpg'), without_suffix('v1.5'), without_suffix('a .png')
    ('day/0001', 'a.jpg', 'v1.5', 'a .png')
    """
    stem, dot, suffix = name.rpartition('.')
    usual = dot and f'.{suffix.lower()}' in SUFFIXES and stem == stem.rstrip() and stem.rpartition('/')[2] not in ('', '.', '..')
    return stem if usual else name


def identities(names: Iterable[str]) -> dict[str, str]:
    """Assign a unique identity to each file.

    Args:
        names: unique paths below the image folder.

    Returns:
        names by identity, in the given order.

    >>> identities(['day/1.jpg', 'night/1.jpg', 'a.jpg', 'a.png'])
    {'day/1': 'day/1.jpg', 'night/1': 'night/1.jpg', 'a.jpg': 'a.jpg', 'a.png': 'a.png'}
    """
    names, whole = list(names), set[str]()
    while True:
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(name if name in whole else without_suffix(name), []).append(name)
        shared = {name for same in found.values() if len(same) > 1 for name in same}
        if shared <= whole:
            return {image_id: same[0] for image_id, same in found.items()}
        whole |= shared


def find_images(folder: Path, links: bool = True) -> tuple[list[str], list[str]]:
    """Names of all files below a folder: images, and other files; hidden and system files are skipped.

    Args:
        folder: folder to search; symbolic links to folders are followed, each only once.
        links: False skips linked folders.

    Returns:
        two sorted lists of paths below the folder.
    """
    images, others = [], []
    above = {str(folder): (os.path.realpath(folder),)}
    for path, folders, files in os.walk(folder, followlinks=links):
        chain = above.pop(path)
        for name in list(folders):
            real = os.path.realpath(os.path.join(path, name))
            if is_passed_over(name) or real in chain:
                folders.remove(name)
            else:
                above[os.path.join(path, name)] = (*chain, real)
        for name in files:
            if not name.startswith('.'):
                relative = Path(path, name).relative_to(folder).as_posix()
                (images if is_image_name(name) else others).append(relative)
    return sorted(images), sorted(others)


def read_image_list(path: Path) -> list[str]:
    """Read names of images, one per line, which may contain spaces.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the list is empty, names an image twice, or contains an invalid name.
    """
    lines, source = map(str.rstrip, read_text(path).split('\n')), repr(str(path))
    names = [checked_name(line, f'line {number} of {source}') for number, line in enumerate(lines, 1) if line]
    if not names:
        raise ValueError(f'The image list {str(path)!r} is empty.')
    check_distinct(names, str(path))
    return names


def check_distinct(names: Sequence[str], source: str) -> None:
    """Reject a list that names an image twice.

    >>> check_distinct(['a', 'b', 'a'], 'train.txt')
    Traceback (most recent call last):
    ValueError: 1 image appears twice in 'train.txt', the first: a. Keep one line of each.
    """
    seen: set[str] = set()
    twice = [name for name in names if name in seen or seen.add(name)]
    if twice:
        number = counted(len(twice), 'image', 'appears')
        raise ValueError(f'{number} twice in {source!r}, the first: {", ".join(twice[:3])}. Keep one line of each.')

"""Check that file names read from a file stay below their root."""

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

from mmlabelpenet.schema import short

_LONGEST = 255  # bytes of one part of a path
_PLAIN = re.compile(r'[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*', re.ASCII)  # names that are certainly valid
_CONTROL = re.compile(r'[\x00-\x1f\x7f]')


def checked_name(name: object, where: str = '') -> str:
    """Check a relative file name read from an image list, a tag file, a COCO file, a store or an archive.

    Args:
        name: with ``/`` between folders.
        where: where the name was read, such as ``"line 3 of 'train.txt'"``; starts the error message.

    Returns:
        the name without ``.`` and doubled ``/``.

    Raises:
        ValueError: the name is absolute, leaves its folder, is not a string, or cannot be the name of a file.

    >>> checked_name('./day//0001.jpg')
    'day/0001.jpg'
    >>> checked_name('../secret.txt', "line 3 of 'train.txt'")
    Traceback (most recent call last):
    ValueError: Line 3 of 'train.txt': '../secret.txt' is not a valid file name inside its folder (it contains '..').
    """
    if isinstance(name, str) and len(name) <= _LONGEST and _PLAIN.fullmatch(name):
        return name  # fast path for nearly all names: COCO has 118,287
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
    if not isinstance(name, str):
        problem = 'expected a string'
    elif not path.parts:
        problem = 'it is empty'
    elif path.is_absolute():
        problem = 'it is absolute'
    elif '..' in path.parts:
        problem = "it contains '..'"
    elif _CONTROL.search(name):
        problem = 'it contains a control character'
    elif name != name.rstrip():
        problem = 'it ends in a space'
    elif any(len(_bytes(part) or b'.' * 256) > _LONGEST for part in path.parts) or len(name) > 4 * _LONGEST:
        problem = f'each part must be text of at most {_LONGEST} bytes'
    else:
        return str(path)
    message = f'{short(name, 80)} is not a valid file name inside its folder ({problem}).'
    raise ValueError(f'{where[0].upper()}{where[1:]}: {message}' if where else message)


def below(root: str | os.PathLike[str], name: object, where: str = '', links: bool = True) -> Path:
    """The path of a name below a root. Every name read from a file is checked here before it is opened.

    Args:
        root: the folder.
        name: see :func:`checked_name`.
        where: where the name was read.
        links: whether symbolic links below the root may lead out of it, for example to another disk; False if the path is written to.

    Raises:
        ValueError: the name leaves the root or cannot be the name of a file.

    >>> below('data', 'day/0001.jpg').as_posix()
    'data/day/0001.jpg'
    """
    path = Path(root) / checked_name(name, where)
    if not links and not path.parent.resolve().is_relative_to(Path(root).resolve()):
        raise ValueError(f'{where or "Name"}: {name!r} leads out of {str(root)!r} through a symbolic link. Remove the link.')
    return path


def fitted(name: str, room: int) -> str:
    """A name with room for an extension; if it would be too long for a file, the last part is truncated and gets a hash.

    Args:
        name: with ``/`` between folders.
        room: bytes of the extension.

    >>> fitted('day/0001', 4)
    'day/0001'
    >>> len(fitted('day/' + 255 * 'x', 4).removeprefix('day/') + '.png')
    255
    """
    folder, slash, last = name.rpartition('/')
    if len(os.fsencode(last)) + room <= _LONGEST:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    kept = os.fsencode(last)[: _LONGEST - room - len(digest) - 1].decode(errors='ignore')
    return f'{folder}{slash}{kept}-{digest}'


def _bytes(text: str) -> bytes | None:
    try:
        return text.encode(errors='surrogateescape')  # independent of the locale: with LC_ALL=C, valid names must not be rejected
    except UnicodeEncodeError:
        return None

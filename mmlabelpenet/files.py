"""Atomic writing of files and folders, by one process at a time."""

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO

from mmlabelpenet.processes import is_alive

_END = '.partial'
_HERE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]  # process numbers mean something on one machine
_held: list[Path] = []  # places that this process has locked; leftovers there have been removed


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = 'w') -> Iterator[IO]:
    """Open a file for writing that is renamed to its path only when the block ends without an error.

    An existing file is kept until then. After an error (a full disk, an interruption) it is unchanged, and the temporary file is removed;
    the temporary file of a killed process is removed by the next process that writes the file.

    Args:
        path: the file; its folder is created.
        mode: 'w' (text, UTF-8) or 'wb'.

    Yields:
        The open file.

    Raises:
        ValueError: another mode.
        OSError: the file cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with atomic_write(f'{folder}/new/a.txt') as file:
    ...         _ = file.write('all of it')
    ...     Path(f'{folder}/new/a.txt').read_text()
    'all of it'
    """
    if mode not in ('w', 'wb'):
        raise ValueError(f"Files are written in mode 'w' or 'wb', got {mode!r}.")
    if os.path.isdir(path):  # the error of renaming would name the temporary file
        raise IsADirectoryError(errno.EISDIR, 'Expected the path of a file, got a folder', os.fspath(path))
    partial = temporary(Path(path))
    if not _held:
        for left in partial.parent.glob(f'.*-{_HERE}*{_END}'):
            if left.name.startswith(f'.{_cut(Path(path).name)}.') and _is_left(left):
                left.unlink(missing_ok=True)
    try:
        with open(partial, mode, encoding='utf-8' if mode == 'w' else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a full disk may be reported only now
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def given_path(path: str | os.PathLike[str]) -> Path:
    """A path; an empty text, for example from an unset variable, would silently mean the working directory.

    Raises:
        ValueError: an empty text.

    >>> given_path('a'), given_path('.')
    (PosixPath('a'), PosixPath('.'))
    >>> given_path('')
    Traceback (most recent call last):
    ValueError: Expected the path of a file or folder, got an empty text. The working directory is '.'.
    """
    if not os.fspath(path).strip():
        raise ValueError("Expected the path of a file or folder, got an empty text. The working directory is '.'.")
    return Path(path)


def require_file(path: str | os.PathLike[str], otherwise: str = '') -> None:
    """Raise an error unless a path is a regular file.

    Args:
        otherwise: the message if nothing is there; default: that a file is expected.

    Raises:
        FileNotFoundError: nothing is there, or something else, such as a folder or a shell's pipe ``<(...)``: files are read twice.

    >>> require_file('/dev/null')
    Traceback (most recent call last):
    FileNotFoundError: Expected a regular file at '/dev/null', got a device.
    """
    if os.path.isfile(path):
        return
    if found := _what_is_there(path):
        raise FileNotFoundError(f'Expected a regular file at {os.fspath(path)!r}, got {found}.')
    raise FileNotFoundError(otherwise or f'Expected a file at {os.fspath(path)!r}, but it is missing.')


def make_folder(path: str | os.PathLike[str]) -> None:
    """Create a folder and its parents.

    Raises:
        NotADirectoryError: one of them is not a folder.
        OSError: it cannot be created.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        for place in (Path(path), *Path(path).parents):
            if (found := _what_is_there(place)) and not place.is_dir():
                message = f'Expected a folder at {str(place)!r}, got {found}. Choose another place.'
                raise NotADirectoryError(message) from None
        raise


def require_place(path: str | os.PathLike[str] | None, endings: Sequence[str] = ()) -> None:
    """Reject a place for a result file before the work that may take hours; nothing is created.

    Args:
        path: of the file; None if none is written.
        endings: allowed endings of its name, '' for none; without endings, all are allowed.

    Raises:
        ValueError: it is a folder, or its name has another ending.
        NotADirectoryError: a part of the path is not a folder.
        PermissionError: the folder cannot be written.

    >>> require_place('out.yaml', ['.json'])
    Traceback (most recent call last):
    ValueError: Results are written to a file with a name ending in .json, got 'out.yaml'.
    """
    if path is None:
        return
    path = Path(path)
    if path.is_dir() or (endings and path.suffix not in endings):
        ending = f' with a name ending in {", ".join(filter(None, endings))}' if endings else ''
        raise ValueError(f'Results are written to a file{ending}, got {str(path)!r}{", a folder" if path.is_dir() else ""}.')
    folder = next(parent for parent in path.absolute().parents if _what_is_there(parent))
    if not folder.is_dir():
        make_folder(folder)  # raises
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, 'Results cannot be written to this folder. Choose another place', str(folder))


def _what_is_there(path: str | os.PathLike[str]) -> str:
    """The kind of file at a path, with an article; empty if nothing is there."""
    if not os.path.exists(path):
        return 'a broken link' if os.path.islink(path) else ''
    mode = os.stat(path).st_mode
    kinds = ((stat.S_ISREG, 'a file'), (stat.S_ISDIR, 'a folder'), (stat.S_ISFIFO, 'a pipe'), (stat.S_ISSOCK, 'a socket'))
    return next((name for is_kind, name in kinds if is_kind(mode)), 'a device')


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Create a folder that is renamed to its path only when the block ends without an error.

    Args:
        path: the folder; it must not exist, or be empty.

    Yields:
        A temporary folder next to it, to be filled.

    Raises:
        FileExistsError: the path exists.
        OSError: it cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     with atomic_folder(f'{root}/set') as folder:
    ...         _ = (folder / 'a.txt').write_text('a')
    ...     [path.name for path in Path(root).rglob('*')]
    ['set', 'a.txt']
    """
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise FileExistsError(f'{os.fspath(path)!r} already exists. Remove it or choose another folder.')
    partial = temporary(Path(path))
    try:
        partial.mkdir()
        yield partial
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(place: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a place for writing by this process, and remove partial files left there by killed processes.

    The lock is a hidden file next to the place, or inside it if the parent folder is not writable. It is released when the process ends.

    Args:
        place: a file or a folder, which need not exist yet.

    Raises:
        ValueError: another process holds the lock; names it and its start time.
        OSError: the lock cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, locked(f'{folder}/a.npz'):
    ...     [path.name for path in Path(folder).iterdir()]
    ['.a.npz.lock']
    """
    place = Path(os.path.abspath(place))
    make_folder(place.parent)
    beside = place.is_file() or os.access(place.parent, os.W_OK)
    path = place.with_name(f'.{_cut(place.name)}.lock') if beside else place / '.lock'
    from filelock import FileLock, Timeout  # imported late, so that a command can report it if it is missing

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = path.read_text(encoding='utf-8', errors='replace') or 'another process'
        raise ValueError(f'{str(place)!r} is being written by {holder}. Wait until it has finished, or choose another place.') from None
    try:
        program = f'{Path(sys.argv[0]).name or "python"} (process {os.getpid()} on {socket.gethostname()})'
        path.write_text(f'{program}, since {datetime.now():%Y-%m-%d %H:%M:%S}', encoding='utf-8')
        remove_partial(place)
        _held.append(place)
        yield
    finally:
        if place in _held:
            _held.remove(place)
        path.unlink(missing_ok=True)  # before the release: a process that has opened it in the meantime detects the removal
        lock.release()


def locked_by_first_rank(place: str | os.PathLike[str] | None) -> AbstractContextManager[None]:
    """:func:`locked`, for files that several processes of one training or test write together; None locks nothing."""
    return locked(place) if place is not None and int(os.environ.get('RANK', 0)) == 0 else nullcontext()


def remove_partial(place: Path) -> None:
    """Remove temporary files and folders left by killed processes in :func:`atomic_write` and :func:`atomic_folder`.

    Args:
        place: a file or a folder; temporary files of its name next to it, and temporary files in the folder, are checked.
    """
    beside = (path for path in place.parent.iterdir() if path.name.startswith(f'.{_cut(place.name)}.'))
    inside = (Path(folder) / name for folder, folders, files in os.walk(place) for name in (*folders, *files))
    for path in [path for found in (beside, inside) for path in found if path.name.endswith(_END) and _is_left(path)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    """Whether the process of a path of :func:`temporary` has ended."""
    ours = re.fullmatch(rf'\..+\.(\d+)-[0-9a-f]+{re.escape(_END)}', path.name)
    return ours is not None and not is_alive(int(ours[1]))


def temporary(path: Path) -> Path:
    """A temporary path next to another one, recognised by :func:`remove_partial`; creates the folder."""
    make_folder(path.parent)
    return path.with_name(f'.{_cut(path.name)}.{os.getpid()}-{_HERE}{uuid.uuid4().hex[:8]}{_END}')


def _cut(name: str) -> str:
    """A name shortened so that 48 of the 255 bytes of a file name remain for the additions of a temporary file."""
    return os.fsencode(name)[: 255 - 48].decode(errors='ignore')


def shipped(name: str) -> Path:
    """A config, a tool or another file that is part of the package: from the repository in a checkout, else the copy in the wheel.

    Args:
        name: such as ``configs/labelpenet/labelpenet_lite0_rendered.py``, ``tools/train.py`` or ``model-index.yml``.

    >>> shipped('tools/train.py').is_file(), shipped('configs').is_dir()
    (True, True)
    """
    return (Path(__file__).parent / '.mim' / name).resolve()  # links in a checkout


def shown(path: Path) -> str:
    """A path for display: relative to the working directory if it is inside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith('..') else relative

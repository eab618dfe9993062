"""Files that are there whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = 'w') -> Iterator[IO]:
    """Open a file for writing that appears, by renaming, only when the block ends without an error.

    What stood at the path stays until then. After an error (a full disk, an interruption) it is as before, and the temporary file
    beside it is gone.

    Args:
        path: the file; its folder is made.
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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.partial')
    try:
        with open(temporary, mode, encoding='utf-8' if mode == 'w' else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a disk that is full may say so only now
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

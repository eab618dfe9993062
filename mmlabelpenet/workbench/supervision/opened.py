"""Which files a piece of work opens: seen by Python itself as they are opened, not taken from what a config declares.

Python announces every file that Python code opens (an audit event, :pep:`578`), whichever code opens it; ``cv2.imread`` opens files in
compiled code and is watched by itself. Other compiled readers that open a file by its name are not seen, nor are other processes: run
the work in one process.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2

import mmlabelpenet

_PACKAGE = str(Path(mmlabelpenet.__file__).parent)
_IGNORED = tuple(f'{folder}/' for folder in ('/proc', '/sys', '/dev', '/etc', '/usr/share', '/usr/lib', sys.base_prefix))
_CODE = ('.py', '.pyc', '.so', '.pyi', '.pyx', '.pth.tar.lock')

Opened = dict[str, set[tuple[str, ...]]]

_listeners: list[Opened] = []
_hooked = False


@contextmanager
def files_opened() -> Iterator[Opened]:
    """Collect the files that are opened for reading while the block runs.

    Yields:
        A dict that fills: absolute path -> the ways in which it was opened, each the functions of this package on the way to it, the
        innermost first (``formats.tag_files.parse_xml``); empty where none was. Code, and what belongs to the system, is left out.

    >>> with files_opened() as opened:
    ...     _ = Path(mmlabelpenet.__file__).read_text(), open('pyproject.toml').close()
    >>> [Path(path).name for path in opened]
    ['pyproject.toml']
    """
    global _hooked
    opened: Opened = {}
    if not _hooked:
        sys.addaudithook(_hear)  # it stays for the life of the process
        _hooked = True
    _listeners.append(opened)
    real = cv2.imread

    def imread(path: Any, *args: Any, **kwargs: Any) -> Any:
        _note(path)
        return real(path, *args, **kwargs)

    try:
        with mock.patch.object(cv2, 'imread', imread):
            yield opened
    finally:
        _listeners[:] = [listener for listener in _listeners if listener is not opened]


def _hear(event: str, arguments: tuple) -> None:
    if event == 'open' and _listeners:
        path, mode, flags = arguments
        writes = any(letter in mode for letter in 'wax') if isinstance(mode, str) else (flags or 0) & os.O_ACCMODE == os.O_WRONLY
        if not writes:
            _note(path)


def _note(path: Any) -> None:
    if not _listeners or isinstance(path, int):
        return
    name = os.path.abspath(os.fsdecode(path))
    if name.endswith(_CODE) or name.startswith(_IGNORED):
        return
    way = _way()
    for listener in _listeners:
        listener.setdefault(name, set()).add(way)


def _way() -> tuple[str, ...]:
    """Functions of this package on the stack, innermost first, without those of this file."""
    frame, names = sys._getframe(2), []
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_PACKAGE) and file != __file__:
            module = file.removeprefix(_PACKAGE).strip('/').removesuffix('.py').replace('/', '.')
            names.append(f'{module}.{frame.f_code.co_name}')
        frame = frame.f_back
    return tuple(names)

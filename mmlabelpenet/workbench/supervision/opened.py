"""Record which files are opened, as observed by Python itself, independent of what a config declares.

Python raises an audit event (:pep:`578`) for every file opened by Python code; ``cv2.imread`` opens files in compiled code and is therefore
patched. Other compiled readers that open a file by name are not observed, nor are other processes: run everything in one process.
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
        A dict that fills: absolute path -> how it was opened, each time as the functions of this package on the stack, innermost first
        (``formats.tag_files.parse_xml``); empty if there was none. Code and system files are excluded.

    >>> with files_opened() as opened:
    ...     _ = Path(mmlabelpenet.__file__).read_text(), open('pyproject.toml').close()
    >>> [Path(path).name for path in opened]
    ['pyproject.toml']
    """
    global _hooked
    opened: Opened = {}
    if not _hooked:
        sys.addaudithook(_hear)  # cannot be removed again
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
    """Functions of this package on the stack, innermost first, except those of this file."""
    frame, names = sys._getframe(2), []
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_PACKAGE) and file != __file__:
            module = file.removeprefix(_PACKAGE).strip('/').removesuffix('.py').replace('/', '.')
            names.append(f'{module}.{frame.f_code.co_name}')
        frame = frame.f_back
    return tuple(names)

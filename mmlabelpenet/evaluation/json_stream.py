"""Go through a JSON list of any length without holding it in memory."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_LONGEST = 1 << 26  # characters of one entry
_BLANK = ' \t\r\n'


class _Window:
    """The part of a file that is being looked at.

    Bytes are read as Latin-1, which gives one character for each, so that places in the text are places in the file; JSON's structure is
    ASCII in any case, and what is not is decoded again.
    """

    def __init__(self, file: BinaryIO, chunk: int) -> None:
        self.file, self.chunk = file, chunk
        self.text, self.base, self.place = '', 0, 0
        self.decoder = json.JSONDecoder()

    def grow(self) -> bool:
        more = self.file.read(self.chunk).decode('latin-1')
        self.base += self.place
        self.text, self.place = self.text[self.place :] + more, 0
        return bool(more)

    def peek(self) -> str:
        """The next character that is not blank; '' at the end of the file."""
        while True:
            while self.place < len(self.text) and self.text[self.place] in _BLANK:
                self.place += 1
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.grow():
                return ''

    def value(self) -> tuple[int, int, Any]:
        """The next value, with its first byte and the byte after its last."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
                break
            except json.JSONDecodeError:
                # Perhaps only the end is missing.
                if len(self.text) - self.place > _LONGEST or not self.grow():
                    raise
        piece = self.text[self.place : end]
        span = self.base + self.place, self.base + end
        self.place = end
        return *span, value if piece.isascii() else json.loads(piece.encode('latin-1').decode('utf-8'))


def iter_json_list(path: str | os.PathLike[str], chunk: int = 1 << 20) -> Iterator[tuple[int, int, Any]]:
    """Yield the entries of a JSON list one by one.

    Args:
        path: the file, UTF-8.
        chunk: bytes that are read at once.

    Yields:
        First byte, byte after the last, and value of each entry.

    Raises:
        ValueError: the file is no JSON list, is damaged or breaks off; the message names the entry.
    """
    path, number = Path(path), 0
    with open(path, 'rb') as file:
        window = _Window(file, chunk)
        if window.peek() != '[':
            raise ValueError(f'{str(path)!r} needs to be a JSON list of entries ("[{{...}}, ...]"), it starts with {window.peek()!r}.')
        window.place += 1
        if window.peek() == ']':
            return
        mark = ','
        while mark == ',':
            number += 1
            try:
                yield window.value()
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f'Entry {number} of {str(path)!r} is not valid JSON, or the file breaks off: {error}.') from error
            mark = window.peek()
            window.place += 1
        if mark != ']' or window.peek():
            raise ValueError(f'After entry {number} of {str(path)!r} a comma or the end of the list is expected, got {mark!r}.')

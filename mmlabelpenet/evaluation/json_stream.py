"""Iterate over a JSON list of any length without loading it into memory."""

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},]', re.DOTALL)
_OPEN, _CLOSE = b'[{', b']}'


def iter_json_list(path: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """Locate the entries of a JSON list one by one by brackets and commas, without parsing their content.

    Args:
        path: the file, UTF-8.

    Yields:
        Start and end byte offsets of each entry.

    Raises:
        ValueError: the file is not a JSON list, or it is truncated; the message names the entry.
    """
    path = Path(path)
    with open(path, 'rb') as file:
        if not path.stat().st_size:
            raise ValueError(f'{str(path)!r} is empty; expected a JSON list of entries ("[{{...}}, ...]").')
        yield from _entries(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path)


def _entries(content: mmap.mmap, path: Path) -> Iterator[tuple[int, int]]:
    tokens = _TOKEN.finditer(content)
    first = next(tokens, None)
    if first is None or first[0] != b'[' or content[: first.start()].removeprefix(b'\xef\xbb\xbf').strip():
        raise ValueError(f'{str(path)!r} must be a JSON list of entries ("[{{...}}, ...]"), but starts with {content[:1]!r}.')
    start, depth, number = first.end(), 0, 1
    for token in tokens:
        sign = token[0]
        if depth == 0 and sign in (b',', b']'):
            if sign == b',' or number > 1 or content[start : token.start()].strip():
                yield start, token.start()
            if sign == b']':
                if content[token.end() :].strip():
                    raise ValueError(f'After entry {number} of {str(path)!r} the list ends, but the file continues.')
                return
            start, number = token.end(), number + 1
        elif sign in _OPEN:
            depth += 1
        elif sign in _CLOSE:
            depth -= 1
    raise ValueError(f'Entry {number} of {str(path)!r} does not end: the file is truncated, or a bracket is missing.')

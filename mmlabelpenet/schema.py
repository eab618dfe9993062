"""Reading untrusted text files: decoded as UTF-8 and validated against a declared schema, with errors that name the location.

The schema of a format is a ``msgspec.Struct`` next to its reader. Fields that are not in the schema are skipped.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
from collections import Counter
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar('T')
_SEARCHED = 32 << 20  # maximum size in bytes up to which files are checked for duplicate keys: takes at most a second


def plain_json(value: Any) -> Any:
    """A value as it would be after a round trip through JSON: dataclasses as dicts of fields; classes and functions, which configs may
    contain, by name.

    >>> plain_json({'size': (1, 2), 'kind': int})
    {'kind': "<class 'int'>", 'size': [1, 2]}
    """
    return json.loads(_json(value))


def json_hash(value: Any) -> str:
    """SHA-256 of a value serialised as JSON, the first 16 hexadecimal digits.

    >>> json_hash({'a': 1, 'b': (2,)}) == json_hash({'b': [2], 'a': 1})
    True
    """
    return hashlib.sha256(_json(value).encode()).hexdigest()[:16]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=lambda part: vars(part) if dataclasses.is_dataclass(part) else repr(part))


def is_number(value: object) -> bool:
    """Whether a value is an integer or a float; True and False are not numbers, although Python counts them as integers.

    >>> is_number(0.5), is_number(True)
    (True, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_range(low: float, high: float = float('inf'), **values: float | None) -> None:
    """Raise a ValueError for the first option that is not a finite number from ``low`` to ``high``; None means that an option is not set.

    >>> check_range(0, 1, min_score=0.3, max_overlap=None)
    >>> check_range(0, 1, nms_thr=30)
    Traceback (most recent call last):
    ValueError: nms_thr must be between 0 and 1, got 30.
    """
    for name, value in values.items():
        if value is not None and not (is_number(value) and low <= value <= high and value < float('inf')):
            expected = f'at least {low:g}' if high == float('inf') else f'between {low:g} and {high:g}'
            finite = 'finite and ' if isinstance(value, float) and not math.isfinite(value) else ''
            raise ValueError(f'{name} must be {finite}{expected}, got {value!r}.')


def check_whole(low: int, **values: object) -> None:
    """Raise a ValueError for the first option that is not an integer of at least ``low``.

    >>> check_whole(1, batch_size=2)
    >>> check_whole(0, max_instances=-1)
    Traceback (most recent call last):
    ValueError: max_instances must be a whole number of at least 0, got -1.
    """
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
            raise ValueError(f'{name} must be a whole number of at least {low}, got {short(value)}.')


_PREPOSITION = re.compile(' (?=(?:of|in|with|without|from|for) )')
_PLURAL_VERBS = {'is': 'are', 'has': 'have', 'was': 'were', 'does': 'do'}


def counted(number: int, noun: str, verb: str = '', of: int | None = None) -> str:
    """A number with a noun, and a verb that agrees with it.

    Args:
        number: the number.
        noun: a noun in the singular, optionally followed by a preposition and more.
        verb: a verb in the third person singular.
        of: the total, of which it is a part.

    >>> counted(1, 'image'), counted(2, 'entry of the list'), counted(0, 'class'), counted(3, 'image without tags')
    ('1 image', '2 entries of the list', '0 classes', '3 images without tags')
    >>> counted(1, 'image', 'has'), counted(2, 'image', 'appears'), counted(1, 'image', 'is', of=3), counted(1, 'box', of=1)
    ('1 image has', '2 images appear', '1 of 3 images is', '1 of 1 box')
    """
    if (number if of is None else of) != 1:
        head = _PREPOSITION.split(noun, maxsplit=1)[0]
        ending = 'es' if head.endswith(('s', 'x', 'ch', 'sh')) else 's'
        plural = f'{head[:-1]}ies' if head.endswith('y') and head[-2] not in 'aeiou' else head + ending
        noun = plural + noun[len(head) :]
    if number != 1:
        verb = _PLURAL_VERBS.get(verb, verb[:-2] if verb.endswith(('ches', 'shes')) else verb.removesuffix('s'))
    return f'{number}{"" if of is None else f" of {of}"} {noun} {verb}'.rstrip()


def short(value: object, limit: int = 60) -> str:
    """A value for a message, truncated to a few characters.

    >>> short('a' * 100, 20)
    "'aaaaaaaaaaaaaaaa..."
    """
    text = repr(value)
    return text if len(text) <= limit else f'{text[: limit - 3]}...'


def reason(error: BaseException) -> str:
    """A library's error for a damaged file, for a message: the first line, truncated where it repeats the file's content.

    >>> reason(OSError('broken' * 100 + chr(10) + 'here'))[-10:]
    'okenbro...'
    """
    text = str(error).strip().partition('\n')[0] or type(error).__name__
    return text if len(text) <= 300 else f'{text[:297]}...'


Size = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""Height or width in pixels."""


def read_text(path: str | os.PathLike[str]) -> str:
    """Text of a file, without a byte-order mark.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8, or holds NUL characters as UTF-16 does.
    """
    path, content = Path(path), Path(path).read_bytes()
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise ValueError(f'Line {line} of {str(path)!r} is not UTF-8 text. Save the file as UTF-8.') from error
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise ValueError(f'Line {line} of {str(path)!r} holds a NUL character. Save the file as UTF-8 text.')
    return text


def read_json(path: str | os.PathLike[str], kind: type[T], what: str, todo: str = '') -> T:
    """Content of a JSON file.

    Args:
        path: the file.
        kind: its schema, as for ``msgspec.json.decode``.
        what: the format, for messages: ``'a label store'``.
        todo: a sentence that says what to do if it is another file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not match the schema, or an object has a duplicate key (checked up to 32 MB; larger files are written by
            programs); the message names file and location.
    """
    content, problem = Path(path).read_bytes(), f'{str(path)!r} is not {what}'
    value = decode_json(content, kind, problem, todo)
    if len(content) <= _SEARCHED:
        _check_keys(content, problem, todo)
    return value


def _check_keys(content: bytes, problem: str, todo: str) -> None:
    """Reject an object with a duplicate key: JSON readers silently keep the last one."""

    def check(pairs: list[tuple[str, object]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise ValueError(f'the key {short(twice)} appears twice in one object')

    try:
        json.loads(content.decode('utf-8-sig', 'replace'), object_pairs_hook=check, parse_int=len, parse_float=len, strict=False)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{problem} ({error}). {todo}'.rstrip()) from error


def decode_json(content: bytes, kind: type[T], problem: str, todo: str = '') -> T:
    """Parse JSON text according to a declared schema.

    Args:
        content: UTF-8, with or without a byte-order mark.
        kind: its schema.
        problem: start of the error message.
        todo: its end.

    Raises:
        ValueError: the content does not match; the message names the location.

    >>> decode_json(b'{"a": [1, 2]}', dict[str, list[int]], "'a.json' is not a list of numbers")
    {'a': [1, 2]}
    >>> decode_json(b'{"a": [1, "x"]}', dict[str, list[int]], "'a.json' is not a table of numbers", 'Write it again.')
    Traceback (most recent call last):
    ValueError: 'a.json' is not a table of numbers (Expected `int`, got `str` - at `$[...][1]`). Write it again.
    """
    try:
        return msgspec.json.decode(content.removeprefix(b'\xef\xbb\xbf'), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MemoryError) as error:
        reason = 'it is nested too deep' if isinstance(error, RecursionError) else str(error) or 'it does not fit in memory'
        raise ValueError(f'{problem} ({reason}). {todo}'.rstrip()) from error


def convert(content: Any, kind: type[T], problem: str, todo: str = '') -> T:
    """Like :func:`decode_json`, for data that are already parsed.

    >>> convert({'a': 1}, dict[str, str], 'The header is malformed')
    Traceback (most recent call last):
    ValueError: The header is malformed (Expected `str`, got `int` - at `$[...]`).
    """
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f'{problem} ({str(error).removesuffix(".")}). {todo}'.rstrip()) from error

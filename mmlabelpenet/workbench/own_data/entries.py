"""The common form of all tag sources: image name, tags, and where they were read."""

import ast
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from mmlabelpenet.formats.tag_files import split_tags
from mmlabelpenet.schema import short

SEPARATORS = ';,|'
_MISSING = ('', 'nan', 'na', 'n/a', '#n/a', '<na>', 'none', 'null', 'nat', '-')


class Entry(NamedTuple):
    """Tags of one image as its source gives them: ``image`` (a name or path), ``tags``, ``where`` (for messages)."""

    image: str
    tags: tuple[str, ...]
    where: str


class Entries(list[Entry]):
    """Entries of a source, and its ``classes``, including those without images."""

    def __init__(self, entries: Iterable[Entry], classes: Iterable[str] = ()) -> None:
        super().__init__(entries)
        self.classes = tuple(map(plain, classes))


def plain(text: str) -> str:
    """Normalise text: composed characters, no outer spaces, single inner spaces, no invisible characters.

    >>> plain(' black\u00a0 cat\u200b')
    'black cat'
    """
    seen = ''.join(' ' if part.isspace() else part for part in text if part.isspace() or not _is_unseen(part))
    return ' '.join(unicodedata.normalize('NFC', seen).split())


def _is_unseen(character: str) -> bool:
    """Whether a character has zero width, except joiners, which some words and emoji need."""
    return unicodedata.category(character) in ('Cc', 'Cf') and character not in '\u200c\u200d' and not '\U000e0020' <= character


def is_missing(text: str) -> bool:
    """Whether a cell is a marker for a missing value.

    >>> is_missing(' NaN '), is_missing('nantes')
    (True, False)
    """
    return text.strip().casefold() in _MISSING


def cell_tags(cell: str, where: str) -> list[str]:
    """Tags of a cell: separated by ``;``, ``,``, ``|`` or line breaks, or a Python or JSON list.

    Raises:
        ValueError: the cell starts like a list but is not one.

    >>> cell_tags('cat; dog', ''), cell_tags('''["cat", 'dog']''', ''), cell_tags('nan', '')
    (['cat', 'dog'], ['cat', 'dog'], [])
    """
    text = cell.strip()
    if is_missing(text):
        return []
    if text[0] in '[({' or text.startswith('set('):
        return _listed(text, where)
    return [plain(tag) for tag in split_tags(text, SEPARATORS + '\r\n') if not is_missing(tag)]


def _listed(text: str, where: str) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(re.sub(r'\bnan\b', 'None', text))
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f'{where} contains {short(text)}, which starts like a list but is not one. Separate tags with ";".') from error
    if isinstance(value, dict):  # Label Studio writes {"choices": ["cat", "dog"]}
        value = [tag for tags in value.values() for tag in (tags if isinstance(tags, list) else [tags])]
    value = sorted(value, key=str) if isinstance(value, set) else list(value) if isinstance(value, list | tuple) else [value]
    if not all(tag is None or isinstance(tag, str | int) for tag in value):
        raise ValueError(f'{where} contains {short(text)}; expected a list of tags.')
    return [plain(str(tag)) for tag in value if tag is not None and not is_missing(str(tag))]

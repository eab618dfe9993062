"""Image tags as people write them: CSV of any dialect, JSON, COCO annotations, one folder per class.

Lenient where the meaning is plain (byte-order mark, spaces, letter case, delimiter, one line per tag), and one error with a list where it
is not. Of COCO files only image names and categories are read, no box and no mask.
"""

import csv
import hashlib
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mmlabelpenet.datasets.tag_files import split_tags

FOLDERS = 'folder-per-class'
_IMAGE = ('image', 'images', 'file', 'filename', 'file_name', 'path', 'name', 'picture')
_TAGS = ('tags', 'tag', 'labels', 'label', 'classes', 'class')
_SHOWN = 12  # entries of a list in an error


class Entry(NamedTuple):
    """Tags of one picture as its source gives them: ``image`` (a name or path), ``tags``, ``where`` (for messages)."""

    image: str
    tags: tuple[str, ...]
    where: str


def read_entries(source: str | Path) -> list[Entry]:
    """Read a tag file.

    CSV needs a header that names a column of images and one of tags (``image,tags``); the delimiter is a comma, semicolon or tab; several
    tags of a cell are separated by ``;``, ``,`` or ``|``. JSON is ``{image: [tag, ...]}``, ``[{"image": ..., "tags": [...]}, ...]`` or
    COCO's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, another encoding than UTF-8, or a malformed file; names line or entry.
    """
    path = Path(source)
    readers = {'.csv': _csv, '.tsv': _csv, '.txt': _csv, '.json': _json}
    if path.suffix.lower() not in readers:
        raise ValueError(f'Tags come from a .csv, .tsv or .json file or from {FOLDERS!r}, got {str(source)!r}.')
    if not path.is_file():
        raise FileNotFoundError(f'Expected image tags in {str(path)!r}, but the file is missing.')
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{str(path)!r} is no UTF-8 text ({error}). Save it again as UTF-8 (in Excel: "CSV UTF-8").') from error
    entries = list(readers[path.suffix.lower()](text, str(path)))
    if not entries:
        raise ValueError(f'{str(path)!r} holds no picture.')
    return entries


def folder_entries(root: Path, pictures: Sequence[Path]) -> tuple[list[Entry], list[Path]]:
    """Tags from the folders below ``root``; a picture that lies in two of them, byte for byte, carries both tags.

    Args:
        root: whose folders are the classes.
        pictures: files below it.

    Returns:
        entries, and the pictures without repetitions.

    Raises:
        ValueError: a picture lies in no folder.
    """
    loose = [path.name for path in pictures if path.parent == root]
    if loose:
        raise ValueError(f'With {FOLDERS!r} every picture lies in the folder of its class, but these do not: {listed(loose)}.')
    first: dict[str, Path] = {}
    tags: dict[Path, list[str]] = {}
    for path in pictures:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        tags.setdefault(first.setdefault(digest, path), []).append(path.relative_to(root).parts[0])
    return [Entry(path.relative_to(root).as_posix(), tuple(names), f'folder {names[0]!r}') for path, names in tags.items()], list(tags)


def match_pictures(entries: Iterable[Entry], root: Path, pictures: Sequence[Path]) -> tuple[dict[Path, set[str]], list[str], list[str]]:
    """Find the picture of every entry, by path or name, with or without suffix, letter case as a last resort.

    Args:
        entries: several of one picture are joined.
        root: that paths of entries start from.
        pictures: files below it.

    Returns:
        tags by picture (cleaned), the entries that no picture fits, and those that several fit.
    """
    tables = _name_tables(root, pictures)
    tags: dict[Path, set[str]] = {}
    unknown: list[str] = []
    ambiguous: list[str] = []
    for entry in entries:
        name = _plain(entry.image).replace('\\', '/').removeprefix('./')
        found = next((table[key] for table, key in _lookups(tables, name) if key in table), [])
        if len(found) == 1:
            tags.setdefault(found[0], set()).update(filter(None, map(_plain, entry.tags)))
        else:
            (ambiguous if found else unknown).append(f'{entry.image!r} ({entry.where})')
    return tags, unknown, ambiguous


def merge_classes(tags: dict[Path, set[str]]) -> tuple[list[str], dict[Path, list[int]]]:
    """Classes, and the labels of each picture; spellings that differ in letter case alone are one class, named by the most frequent.

    >>> names, labels = merge_classes({Path('a'): {'Dog'}, Path('b'): {'dog', 'cat'}, Path('c'): {'dog'}})
    >>> names, labels[Path('b')]
    (['cat', 'dog'], [0, 1])
    """
    spellings: dict[str, Counter] = {}
    for names in tags.values():
        for name in sorted(names):
            spellings.setdefault(name.casefold(), Counter())[name] += 1
    keys = sorted(spellings)
    classes = [min(spellings[key], key=lambda name: (-spellings[key][name], name)) for key in keys]
    index = {key: label for label, key in enumerate(keys)}
    return classes, {path: sorted({index[name.casefold()] for name in names}) for path, names in tags.items()}


def listed(items: Sequence[str]) -> str:
    """The first items of a list, and how many more there are.

    >>> listed([str(k) for k in range(14)])
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more'
    """
    more = f' and {len(items) - _SHOWN} more' if len(items) > _SHOWN else ''
    return ', '.join(items[:_SHOWN]) + more


def _plain(text: str) -> str:
    """One spelling of what looks alike: composed characters, no outer spaces, single inner ones."""
    return ' '.join(unicodedata.normalize('NFC', text).split())


def _stem(name: str) -> str:
    return name.rsplit('.', 1)[0] if '.' in name.rsplit('/', 1)[-1] else name


def _name_tables(root: Path, pictures: Sequence[Path]) -> dict[str, dict[str, list[Path]]]:
    tables: dict[str, dict[str, list[Path]]] = {}
    for path in pictures:
        whole = _plain(path.relative_to(root).as_posix())
        base = whole.rsplit('/', 1)[-1]
        for kind, key in (('path', whole), ('path stem', _stem(whole)), ('name', base), ('stem', _stem(base))):
            tables.setdefault(kind, {}).setdefault(key, []).append(path)
            tables.setdefault(f'{kind}, any case', {}).setdefault(key.casefold(), []).append(path)
    return tables


def _lookups(tables: dict[str, dict[str, list[Path]]], name: str) -> Iterable[tuple[dict[str, list[Path]], str]]:
    base = name.rsplit('/', 1)[-1]
    names = dict(zip(('path', 'path stem', 'name', 'stem'), (name, name, base, base)))
    yield from ((tables[kind], key) for kind, key in names.items())
    yield from ((tables[f'{kind}, any case'], key.casefold()) for kind, key in names.items())


def _csv(text: str, path: str) -> Iterable[Entry]:
    head = next((line for line in text.splitlines() if line.strip()), '')
    delimiter = max(',;\t', key=head.count) if any(sign in head for sign in ',;\t') else ','
    rows = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    header: list[str] = next(([cell.strip().lower() for cell in row] for row in rows if any(cell.strip() for cell in row)), [])
    image, tags = (next((header.index(name) for name in names if name in header), None) for names in (_IMAGE, _TAGS))
    if image is None or tags is None:
        raise ValueError(f"Expected a header with the columns 'image' and 'tags' in {path!r}, got {head!r}.")
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= image or not row[image].strip():
            raise ValueError(f'Line {rows.line_num} of {path!r} names no picture: {delimiter.join(row)!r}.')
        cells = row[tags:] if tags == len(header) - 1 else row[tags : tags + 1]  # tags may spill over into further cells
        names = [name for cell in cells for name in split_tags(cell, ';,|')]
        yield Entry(row[image], tuple(names), f'line {rows.line_num}')


def _json(text: str, path: str) -> Iterable[Entry]:
    def no_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        if twice:
            raise ValueError(f'{twice[0]!r} stands twice in {path!r}. Leave one entry with all its tags.')
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=no_repetition)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path!r} is not readable as JSON: {error}.') from error
    if isinstance(content, dict) and {'images', 'annotations', 'categories'} <= set(content):
        return _coco(content, path)
    entries = [{'image': image, 'tags': tags} for image, tags in content.items()] if isinstance(content, dict) else content
    return _json_entries(entries, path)


def _json_entries(entries: object, path: str) -> Iterable[Entry]:
    wanted = f'{path!r} should hold {{image: [tag, ...]}}, [{{"image": ..., "tags": [...]}}, ...] or COCO annotations'
    if not isinstance(entries, list):
        raise ValueError(f'{wanted}, got {type(entries).__name__}.')
    for number, entry in enumerate(entries, 1):
        image, tags = (entry.get('image'), entry.get('tags')) if isinstance(entry, dict) else (None, None)
        tags = [tags] if isinstance(tags, str) else tags
        if not isinstance(image, str) or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise ValueError(f'{wanted}, got {entry!r} as entry {number}.')
        yield Entry(image, tuple(tags), f'entry {number}')


def _coco(content: dict, path: str) -> Iterable[Entry]:
    try:
        names = {category['id']: str(category['name']) for category in content['categories']}
        tags: dict[object, list[str]] = {image['id']: [] for image in content['images']}
        for annotation in content['annotations']:
            tags[annotation['image_id']].append(names[annotation['category_id']])
        return [Entry(str(image['file_name']), tuple(tags[image['id']]), f'image {image["id"]}') for image in content['images']]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{path!r} is no COCO file: {error!r} is missing or unknown. Each image, annotation and category needs it.'
        ) from error

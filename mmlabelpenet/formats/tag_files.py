"""Readers of image tags: VOC image lists, names in VOC XML, CSV and JSON files.

Tags are the only annotation that training reads. Nothing here parses a box. The tags of an image are sorted, unique class indices.
"""

import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import msgspec
from defusedxml.ElementTree import iterparse

from ..files import require_file
from ..schema import counted, decode_json, read_text, short
from .file_names import below, checked_name
from .image_names import without_suffix

_LARGEST_XML, _DEEPEST = (
    1 << 22,
    64,
)  # maximum bytes, enough for 18,000 objects, and nesting depth, of which an annotation file needs three or four
_SHOWN = 8  # maximum number of classes in an error message
_SPECIAL = re.compile(r'[;,|"\r\n]')
_FLAG = re.compile(r'(.+?)\s+(-1|0|1)')


def unknown_tag(name: object, classes: Collection[str], where: str) -> ValueError:
    """The error for a tag that is not a class; names the most similar class.

    >>> str(unknown_tag('dgo', ('cat', 'dog'), "line 2 of 'tags.csv'"))
    "'dgo' in line 2 of 'tags.csv' is not a class. Did you mean 'dog'? Classes: cat, dog."
    """
    near = difflib.get_close_matches(str(name).lower(), [c.lower() for c in classes], n=1, cutoff=0.5)
    guess = next((c for c in classes if near and c.lower() == near[0]), None)
    hint = f' Did you mean {guess!r}?' if guess is not None else ''
    known = ', '.join(list(classes)[:_SHOWN]) + (f' and {len(classes) - _SHOWN} more' if len(classes) > _SHOWN else '')
    return ValueError(f'{short(name)} in {where} is not a class.{hint} Classes: {known}.')


def parse_xml(path: Path, root: str | None = 'annotation') -> ElementTree.Element:
    """The root of a VOC annotation file.

    Args:
        path: the file.
        root: name of its root element; None allows any.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not XML or has another root element, is too large or too deeply nested, or declares a document type, which
            could load other files or expand without limit.
    """
    require_file(path, f'Expected the annotation file {str(path)!r}, but it is missing.')
    try:
        if path.stat().st_size > _LARGEST_XML:
            raise ValueError(f'it has {path.stat().st_size} bytes, more than {_LARGEST_XML}')
        found = _bounded_tree(path)
        if root is not None and found.tag != root:
            raise ValueError(f'expected <{root}> around it, got <{found.tag[:60]}>')
        return found
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f'Annotation file {str(path)!r} is not readable as XML: {error}. Restore it from the data set.') from error


def _bounded_tree(path: Path) -> ElementTree.Element:
    depth, events = 0, iterparse(path, events=('start', 'end'), forbid_dtd=True)
    for event, _ in events:
        depth += 1 if event == 'start' else -1
        if depth > _DEEPEST:
            raise ValueError(f'its elements are nested more than {_DEEPEST} deep')
    return events.root


def is_difficult(element: ElementTree.Element) -> bool:
    """Whether an ``object`` element is marked ``difficult``, which some programs write as a word."""
    return (element.findtext('difficult') or '0').strip().lower() in ('1', 'true', 'yes')


def tags_from_lists(
    main: Path, split: str, image_ids: Sequence[str], classes: Sequence[str], use_difficult: bool = False
) -> dict[str, list[int]]:
    """Labels of every image of a split, from ``<class>_<split>.txt`` in the folder ``ImageSets/Main``.

    1: has the class; -1: does not; 0: has only difficult objects of it, which ``use_difficult`` counts as a tag.

    Raises:
        FileNotFoundError: the list of a class is missing.
        ValueError: a line is malformed, or an image of the split is missing from a list or in it twice.
    """
    tags: dict[str, list[int]] = {image_id: [] for image_id in image_ids}
    wanted = ('1', '0') if use_difficult else ('1',)
    for label, name in enumerate(classes):
        path = main / f'{name}_{split}.txt'
        require_file(
            path,
            f'Expected the tags of class {name!r} in {str(path)!r}, but it is missing. Provide it, or read the tags from XML, CSV or JSON.',
        )
        flags: dict[str, str] = {}
        for number, line in enumerate(read_text(path).split('\n'), 1):
            if not line.strip():
                continue
            found = _FLAG.fullmatch(line.rstrip())
            if found is None:
                raise ValueError(f"Line {number} of {str(path)!r} should be 'image 1', 'image 0' or 'image -1', got {short(line)}.")
            image_id = checked_name(found[1], f'line {number} of {str(path)!r}')
            if image_id in flags:
                raise ValueError(f'Image {image_id!r} appears twice in {str(path)!r}. Keep one line.')
            flags[image_id] = found[2]
        _check_complete(image_ids, flags, path)
        for image_id in image_ids:
            if flags[image_id] in wanted:
                tags[image_id].append(label)
    return tags


def tags_from_xml(
    folder: Path, image_ids: Sequence[str], classes: Sequence[str], ignored: Collection[str] = (), use_difficult: bool = False
) -> dict[str, list[int]]:
    """Labels of every image of a split, from the names in ``<image>.xml`` in the folder ``Annotations``; boxes are not even parsed.

    Names in ``ignored`` are allowed but give no tag; ``use_difficult`` includes classes of which all objects are difficult.

    Raises:
        FileNotFoundError: an annotation file is missing.
        ValueError: a file is unreadable or contains a name that is neither a class nor ignored.
    """
    index = {name: label for label, name in enumerate(classes)}
    tags = {}
    for image_id in image_ids:
        path = below(folder, f'{image_id}.xml')
        found = set()
        for element in parse_xml(path).iter('object'):
            name = (element.findtext('name') or '').strip()
            if name not in index and name not in ignored:
                raise unknown_tag(name, classes, repr(str(path)))
            if name in index and (use_difficult or not is_difficult(element)):
                found.add(index[name])
        tags[image_id] = sorted(found)
    return tags


def tags_from_file(path: Path, image_ids: Sequence[str], classes: Sequence[str]) -> dict[str, list[int]]:
    """Labels of every image of a split, from a CSV or JSON file which may also list images of other splits.

    CSV has the header ``image,tags``; tags are written as by :func:`join_tags`. JSON is ``{image: [tag, ...]}`` or ``[{"image": ...,
    "tags": [...]}, ...]``. File extensions of images are optional.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file extension, a malformed file, a tag that is not a class, an image that is missing or appears twice.
    """
    readers = {'.csv': _read_csv, '.json': _read_json}
    if path.suffix.lower() not in readers and not path.exists():
        raise ValueError(f"Tags come from 'lists', 'xml' or a .csv or .json file, got {str(path)!r}.")
    require_file(path, f'Expected image tags in {str(path)!r}, but it is missing.')
    if path.suffix.lower() not in readers:
        raise ValueError(f"Tags come from 'lists', 'xml' or a .csv or .json file, got {str(path)!r}.")
    index = {name: label for label, name in enumerate(classes)}
    tags: dict[str, list[int]] = {}
    wanted = set(image_ids)
    for image, names, where in readers[path.suffix.lower()](path):
        image = checked_name(image, f'{where} of {str(path)!r}')
        image_id = image if image in wanted else without_suffix(image)
        if image_id in tags:
            raise ValueError(f'Image {short(image_id)} appears twice in {str(path)!r} ({where}). Keep one entry with all its tags.')
        for name in names:
            if name not in index:
                raise unknown_tag(name, classes, f'{where} of {str(path)!r}')
        tags[image_id] = sorted({index[name] for name in names})
    _check_complete(image_ids, tags, path)
    return {image_id: tags[image_id] for image_id in image_ids}


def _check_complete(image_ids: Sequence[str], found: Collection[str], path: Path) -> None:
    missing = [image_id for image_id in image_ids if image_id not in found]
    if missing:
        number = counted(len(missing), 'image of the split', 'has')
        raise ValueError(f'{number} no entry in {str(path)!r}, the first: {", ".join(missing[:3])}.')


def join_tags(names: Iterable[str]) -> str:
    """Tags as one CSV cell, separated by ``;``; names that contain a separator or a quotation mark are quoted.

    >>> join_tags(['cat', 'cup; mug', '5" screen'])
    'cat;"cup; mug";"5"" screen"'
    """
    return ';'.join('"{}"'.format(name.replace('"', '""')) if _SPECIAL.search(name) else name for name in names)


def split_tags(cell: str, separators: str = ';') -> list[str]:
    """Tags of a cell, as written by :func:`join_tags`; surrounding spaces are ignored.

    >>> split_tags('cat; dog;;"cup; mug";"5"" screen"')
    ['cat', 'dog', 'cup; mug', '5" screen']
    """
    parts = re.findall(rf'\s*"((?:[^"]|"")*)"\s*(?=[{separators}]|\Z)|([^{separators}]+)', cell)
    tags = [(quoted.replace('""', '"') or plain).strip() for quoted, plain in parts]
    return [tag for tag in tags if tag]


def csv_rows(path: Path, text: str, delimiter: str = ',') -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV text, each with the number of the line in which it begins.

    Args:
        path: the file, for messages.
        text: its content.
        delimiter: between cells.

    Raises:
        ValueError: quotation marks do not match, or a cell is too large; names the line in which the row begins.

    >>> list(csv_rows(Path('a.csv'), 'image,tags' + chr(10) + 'a,"cat'))
    Traceback (most recent call last):
    ValueError: Line 2 of 'a.csv' is not readable as CSV: unexpected end of data. Check its quotation marks.
    """
    rows, number = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True), 1
    try:
        for row in rows:
            yield number, row
            number = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(f'Line {number} of {str(path)!r} is not readable as CSV: {error}. Check its quotation marks.') from error


def _read_csv(path: Path) -> Iterable[tuple[str, list[str], str]]:
    rows = csv_rows(path, read_text(path))
    header = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    if header != ['image', 'tags']:
        raise ValueError(f"Expected the header 'image,tags' in {str(path)!r}, got {short(','.join(header))}.")
    for number, row in rows:
        if not row:
            continue
        if len(row) != 2:
            raise ValueError(f"Line {number} of {str(path)!r} should be 'image,tag;tag;...', got {short(','.join(row))}.")
        yield row[0].strip(), split_tags(row[1]), f'line {number}'


def distinct_names(pairs: Sequence[tuple[str, object]], path: Path) -> dict[str, object]:
    """A JSON object of a file as a dict; raises ValueError for a duplicate key, of which JSON readers keep the last."""
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        raise ValueError(f'{short(twice[0])} appears twice in {str(path)!r}. Keep one entry with all its tags.')
    return dict(pairs)


class TaggedImage(msgspec.Struct):
    """An entry of a JSON list of tags."""

    image: str
    tags: list[str]


def _read_json(path: Path) -> Iterable[tuple[str, list[str], str]]:
    problem = f'{str(path)!r} should hold {{image: [tag, ...]}} or [{{"image": ..., "tags": [...]}}, ...]'
    content = decode_json(path.read_bytes(), dict[str, list[str]] | list[TaggedImage], problem)
    if isinstance(content, dict):
        json.loads(read_text(path), object_pairs_hook=partial(distinct_names, path=path))
        content = [TaggedImage(image, tags) for image, tags in content.items()]
    for number, entry in enumerate(content, 1):
        yield entry.image, [tag.strip() for tag in entry.tags if tag.strip()], f'entry {number}'

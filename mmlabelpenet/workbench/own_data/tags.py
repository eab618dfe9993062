"""Read image tags from many formats and match them with images.

Unambiguous variations are accepted (byte-order mark, spaces, letter case, delimiter, one line per tag); anything else raises a one-line
error. From annotations, only image names and class names are read, no boxes or masks.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmlabelpenet.files import file_hash, given_path, require_file
from mmlabelpenet.schema import short
from mmlabelpenet.workbench.own_data.entries import SEPARATORS, Entries, Entry, plain
from mmlabelpenet.workbench.own_data.tag_folders import FOLDERS, annotation_folder, read_cvat
from mmlabelpenet.workbench.own_data.tag_json import read_json_tags
from mmlabelpenet.workbench.own_data.tag_tables import read_csv, read_xlsx

_SHOWN = 12  # maximum number of items shown in a message
_READERS: dict[str, Callable[[Path], Entries]] = {
    '.csv': read_csv, '.tsv': read_csv, '.txt': read_csv, '.xlsx': read_xlsx, '.xlsm': read_xlsx, '.json': read_json_tags,
    '.xml': read_cvat,
}  # fmt: skip
_UPLOADED = re.compile(r'[0-9a-f]{8}-(.+)')  # Label Studio
_ROBOFLOW = re.compile(r'(.+)_([a-z]{3,4})\.rf\.[0-9a-zA-Z]+(?:\.\w+)?')


def read_entries(source: str | Path) -> Entries:
    """Read tags of a table, a JSON or XML file, or a folder of annotations.

    * CSV, TSV and Excel: a header with an image column and one or more tag columns (``image,tags``), or one column per class with 0 and 1.
      Several tags in a cell are separated by ``;``, ``,``, ``|`` or line breaks, or are a list.
    * JSON: ``{image: [tag, ...]}``, ``[{"image": ..., "tags": [...]}, ...]``, COCO and Label Studio exports.
    * XML: CVAT for images.
    * Folders: LabelMe, YOLO (``data.yaml``), VOC (``Annotations``), COCO (``annotations``).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another file extension, an encoding other than UTF-8, or a malformed file; names line or entry.
    """
    path = given_path(source)
    if path.is_dir():
        entries = annotation_folder(path)
    elif path.name in ('data.yaml', 'data.yml'):
        entries = annotation_folder(path.parent)
    elif path.suffix.lower() not in _READERS and (path.is_file() or not path.exists()):
        old = ' Save it as .xlsx or CSV.' if path.suffix.lower() in ('.xls', '.ods', '.numbers') else ''
        raise ValueError(f'Tags come from {", ".join(_READERS)} files, folders of annotations or {FOLDERS!r}, got {str(source)!r}.{old}')
    else:
        require_file(path, f'Expected image tags in {str(path)!r}, but the file is missing.')
        entries = _READERS[path.suffix.lower()](path)
    if not entries:
        raise ValueError(f'{str(path)!r} contains no image.')
    return entries


def match_images(entries: Iterable[Entry], root: Path, paths: Sequence[Path]) -> tuple[dict[Path, set[str]], list[str], list[str]]:
    """Find the image of every entry: by path or name, with or without extension, ignoring letter case, and finally without the additions of
    Label Studio (``1a2b3c4d-name.jpg``) and Roboflow (``name_jpg.rf.1a2b.jpg``).

    Args:
        entries: several entries of an image are joined.
        root: folder to which paths of entries are relative.
        paths: image files below it.

    Returns:
        tags by image (cleaned), the entries without a matching image, and those that match several.
    """
    tables = _name_tables(root, paths)
    tags: dict[Path, set[str]] = {}
    unknown: list[str] = []
    ambiguous: list[str] = []
    for entry in entries:
        name = plain(entry.image).replace('\\', '/').removeprefix('./')
        found = next((table[key] for table, key in _lookups(tables, name) if key in table), [])
        if len(found) == 1:
            tags.setdefault(found[0], set()).update(filter(None, map(plain, entry.tags)))
        else:
            (ambiguous if found else unknown).append(f'{short(entry.image)} ({entry.where})')
    return tags, unknown, ambiguous


def join_copies(tags: Mapping[Path, set[str]]) -> tuple[dict[Path, set[str]], list[str]]:
    """Tags of images without exact copies of other images, whose tags are joined, and the copies, each with the image that is kept."""
    sizes = Counter(path.stat().st_size for path in tags)
    kept: dict[Path | str, Path] = {}
    joined: dict[Path, set[str]] = {}
    copies = []
    for path in sorted(tags):
        first = kept.setdefault(file_hash(path) if sizes[path.stat().st_size] > 1 else path, path)
        joined.setdefault(first, set()).update(tags[path])
        if first != path:
            copies.append(f'{path.name} of {first.name}')
    return joined, copies


def merge_classes(tags: dict[Path, set[str]]) -> tuple[list[str], dict[Path, list[int]]]:
    """Classes, and the labels of each image; spellings that differ only in letter case are one class, named by the most frequent one.

    Raises:
        ValueError: a tag looks like several other tags combined.

    >>> names, labels = merge_classes({Path('a'): {'Dog'}, Path('b'): {'dog', 'cat'}, Path('c'): {'dog'}})
    >>> names, labels[Path('b')]
    (['cat', 'dog'], [0, 1])
    """
    spellings: dict[str, Counter] = {}
    for names in tags.values():
        for name in sorted(names):
            spellings.setdefault(name.casefold(), Counter())[name] += 1
    keys = sorted(spellings)
    for key in keys:
        parts = [part.strip() for part in re.split(f'[{SEPARATORS}]', key)]
        if len(parts) > 1 and any(part in spellings for part in parts):
            one = next(part for part in parts if part in spellings)
            raise ValueError(f'Tag {short(key)} looks like several tags, since {short(one)} is one. Separate them.')
    classes = [min(spellings[key], key=lambda name: (-spellings[key][name], name)) for key in keys]
    index = {key: label for label, key in enumerate(keys)}
    return classes, {path: sorted({index[name.casefold()] for name in names}) for path, names in tags.items()}


def listed(items: Sequence[str]) -> str:
    """The first items of a list, and the number of the others.

    >>> listed([str(k) for k in range(14)])
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more'
    """
    more = f' and {len(items) - _SHOWN} more' if len(items) > _SHOWN else ''
    return ', '.join(items[:_SHOWN]) + more


def original_name(name: str) -> str:
    """The name of an image before Label Studio or Roboflow changed it.

    >>> original_name('1a2b3c4d-cat.jpg'), original_name('cat_jpg.rf.0a1B2c.jpg'), original_name('cat.jpg')
    ('cat.jpg', 'cat.jpg', 'cat.jpg')
    """
    if match := _ROBOFLOW.fullmatch(name):
        name = f'{match[1]}.{match[2]}'
    match = _UPLOADED.fullmatch(name)
    return match[1] if match else name


def _stem(name: str) -> str:
    return name.rsplit('.', 1)[0] if '.' in name.rsplit('/', 1)[-1] else name


def _name_tables(root: Path, paths: Sequence[Path]) -> dict[str, dict[str, list[Path]]]:
    tables: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        whole = plain(path.relative_to(root).as_posix())
        base = whole.rsplit('/', 1)[-1]
        original = original_name(base)
        named = [('path', whole), ('path stem', _stem(whole)), ('name', base), ('stem', _stem(base))]
        for kind, key in (*named, ('original', original), ('original stem', _stem(original))):
            tables.setdefault(kind, {}).setdefault(key, []).append(path)
            tables.setdefault(f'{kind}, any case', {}).setdefault(key.casefold(), []).append(path)
    return tables


def _lookups(tables: dict[str, dict[str, list[Path]]], name: str) -> Iterable[tuple[dict[str, list[Path]], str]]:
    yield from _usual(tables, name, ('path', 'path stem', 'name', 'stem'))
    address = urlsplit(name) if '://' in name or '?' in name else None
    if address is not None:  # path of a file on a server, or Label Studio's /data/local-files/?d=folder/name.jpg
        name = unquote(address.query.partition('d=')[2] if address.query.startswith('d=') else address.path).lstrip('/')
        yield from _usual(tables, name, ('path', 'path stem', 'name', 'stem'))
    for base in dict.fromkeys((name.rsplit('/', 1)[-1], unquote(name.rsplit('/', 1)[-1]))):
        yield from _usual(tables, original_name(base), ('name', 'stem', 'original', 'original stem'))


def _usual(tables: dict[str, dict[str, list[Path]]], name: str, kinds: Sequence[str]) -> Iterable[tuple[dict[str, list[Path]], str]]:
    names = {kind: name if kind.startswith('path') else name.rsplit('/', 1)[-1] for kind in kinds}
    yield from ((tables[kind], key) for kind, key in names.items())
    yield from ((tables[f'{kind}, any case'], key.casefold()) for kind, key in names.items())

"""Image tags in JSON: plain lists, COCO, Label Studio."""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmlabelpenet.datasets.coco import AnnotationFile, Id, read_coco
from mmlabelpenet.formats.image_names import is_image_name
from mmlabelpenet.formats.tag_files import distinct_names
from mmlabelpenet.schema import decode_json, short
from mmlabelpenet.workbench.own_data.entries import Entries, Entry, cell_tags, is_missing, plain

_LABELS = (
    'choices', 'rectanglelabels', 'polygonlabels', 'brushlabels', 'ellipselabels', 'keypointlabels', 'labels', 'taxonomy',
)  # fmt: skip
_ABOUT = ('id', 'annotator', 'annotation_id', 'created_at', 'updated_at', 'lead_time', 'image', 'inner_id', 'total_annotations')
_IMAGE, _TAGS = ('image', 'filename', 'file_name', 'file', 'name', 'path'), ('tags', 'tag', 'labels', 'label', 'classes', 'class')
_WANTED = 'expected {image: [tag, ...]}, [{"image": ..., "tags": [...]}, ...], or a COCO or Label Studio export'


def read_json_tags(path: Path) -> Entries:
    """Tags of a JSON file; for COCO and Label Studio annotations, only names are read.

    Raises:
        ValueError: malformed, or another structure.
    """
    raw = path.read_bytes()
    decode_json(raw, Any, f'{str(path)!r} is not readable as JSON')  # guards against deep nesting and other encodings
    content = json.loads(raw.decode('utf-8-sig'), object_pairs_hook=partial(distinct_names, path=path))
    if isinstance(content, dict):
        if {'images', 'annotations', 'categories'} <= set(content):
            return _coco(path)
        return Entries(_entry(image, tags, f'entry {number}', str(path)) for number, (image, tags) in enumerate(content.items(), 1))
    if not isinstance(content, list):
        raise ValueError(f'{str(path)!r}: {_WANTED}, got {type(content).__name__}.')
    return Entries(_list_entries(content, str(path)))


def _list_entries(content: list, path: str) -> Iterable[Entry]:
    for number, item in enumerate(content, 1):
        where = f'entry {number}'
        if not isinstance(item, dict):
            raise ValueError(f'{path!r}: {_WANTED}, got {short(item)} as {where}.')
        if isinstance(item.get('data'), dict):
            yield _task(item, where, path)
        elif isinstance(item.get('image'), str) and ('annotation_id' in item or 'lead_time' in item or 'annotator' in item):
            yield Entry(item['image'], tuple(_named(item, f'{where} of {path!r}')), where)
        else:
            image, tags = (next((item[key] for key in keys if key in item), _Absent) for keys in (_IMAGE, _TAGS))
            if image is _Absent or tags is _Absent:
                raise ValueError(f'{path!r}: {_WANTED}, got {short(item)} as {where}.')
            yield _entry(image, tags, where, path)


class _Absent:
    """Marks a missing key."""


def _entry(image: object, tags: object, where: str, path: str) -> Entry:
    if isinstance(tags, str):
        tags = cell_tags(tags, f'{where[0].upper()}{where[1:]} of {path!r}')
    tags = [] if tags is None else tags
    if not isinstance(image, str) or not image.strip() or not isinstance(tags, list) or not all(isinstance(t, str | None) for t in tags):
        raise ValueError(f'{path!r}: {_WANTED}, got {short({image: tags} if isinstance(image, str) else image)} as {where}.')
    return Entry(image, tuple(plain(tag) for tag in tags if tag is not None and not is_missing(tag)), where)


def _task(task: Mapping, where: str, path: str) -> Entry:
    """A task of Label Studio with its annotations."""
    texts = [value for value in task['data'].values() if isinstance(value, str)]
    image = next((text for text in texts if is_image_name(text.partition('?')[0]) or is_image_name(text)), None)
    if image is None:
        raise ValueError(
            f'Entry {where.split()[-1]} of {path!r} is a Label Studio task whose data has no image name: {short(task["data"])}.'
        )
    place = f'{where} of {path!r}'
    drawn = [note for key in ('annotations', 'completions') for note in _objects(task, key, place)]
    results = [item for note in drawn if not note.get('was_cancelled') for item in _objects(note, 'result', place)]
    return Entry(image, tuple(tag for item in results for tag in _found(item.get('value'), place)), where)


def _objects(holder: Mapping, key: str, place: str) -> list[dict]:
    """A list of JSON objects; empty if it is missing."""
    value = [] if holder.get(key) is None else holder[key]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f'Expected a list of objects as {key!r} in {place}, got {short(value)}. Export the annotations again.')
    return value


def _named(item: Mapping, place: str) -> Iterable[str]:
    """Tags of an entry in Label Studio's short format, whose keys depend on the user's labelling interface."""
    for key, value in item.items():
        if key not in _ABOUT:
            yield from [plain(value)] if isinstance(value, str) and not is_missing(value) else _found(value, place)


def _found(value: Any, place: str) -> Iterable[str]:
    """All label names in a Label Studio result."""
    if isinstance(value, list):
        for part in value:
            yield from [plain(part)] if isinstance(part, str) else _found(part, place)
    elif isinstance(value, dict):
        for key in _LABELS:
            yield from _label_names(value.get(key), key, place)


def _label_names(value: Any, key: str, place: str) -> Iterable[str]:
    """Names in a field of labels: a text, or a list, which is nested for a taxonomy."""
    if isinstance(value, str):
        yield plain(value)
    elif isinstance(value, list):
        for part in value:
            yield from _label_names(part, key, place)
    elif value is not None:
        raise ValueError(f'Expected names of labels as {key!r} in {place}, got {short(value)}. Export the annotations again.')


def _coco(path: Path) -> Entries:
    content = read_coco(path, AnnotationFile)
    names = {category.id: plain(category.name) for category in content.categories}
    tags: dict[Id, list[str]] = {image.id: [] for image in content.images}
    for mark in content.annotations:
        tags[mark.image_id].append(names[mark.category_id])
    found = (Entry(image.file_name, tuple(tags[image.id]), f'image {image.id}') for image in content.images)
    return Entries(found, names.values())

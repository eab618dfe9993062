"""Image tags from folders: one per class, or annotations of LabelMe, YOLO, VOC, COCO and CVAT, of which only names are read."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

import msgspec

from mmlabelpenet.formats.image_names import is_passed_over
from mmlabelpenet.formats.tag_files import is_difficult, parse_xml
from mmlabelpenet.schema import counted, read_json, read_text, short
from mmlabelpenet.workbench.imports.coco import coco_files
from mmlabelpenet.workbench.imports.yolo import yolo_names
from mmlabelpenet.workbench.own_data.entries import Entries, Entry, plain
from mmlabelpenet.workbench.own_data.tag_json import read_json_tags

FOLDERS = 'folder-per-class'
_PARTS = {'train', 'training', 'val', 'valid', 'validation', 'test', 'testing', 'dev', 'eval'}
_TOOLS = {'images', 'labels', 'annotations', 'jpegimages', 'imagesets', 'segmentationclass', 'segmentationobject', 'masks'}


class _Shape(msgspec.Struct):
    label: str


class _LabelMeFile(msgspec.Struct):
    shapes: list[_Shape]
    imagePath: str  # noqa: N815
    flags: dict[str, bool] | None = None


def folder_entries(root: Path, images: Sequence[Path]) -> Entries:
    """Tags from the folders below ``root``.

    Folders such as ``train`` and ``val`` that contain the class folders are not classes.

    Args:
        root: folder of the class folders.
        images: files below it.

    Raises:
        ValueError: an image outside the class folders, or folders that are not classes.
    """
    parts = {path: path.relative_to(root).parts for path in images}
    _refuse_loose([path.name for path in images if len(parts[path]) < 2])
    first_level = {names[0] for names in parts.values()}
    tools = sorted(name for name in first_level if name.casefold() in _TOOLS)
    if tools:
        raise ValueError(
            f'Folder {tools[0]!r} belongs to a data set of YOLO, VOC or COCO and is not a class. Pass the '
            'folder of that data set as --tags.'
        )
    deep = {name for name in first_level if all(len(names) > 2 for names in parts.values() if names[0] == name)}
    split = {name for name in first_level & deep if name.casefold() in _PARTS}
    if split and split != first_level:
        raise ValueError(
            f'Folder {sorted(split)[0]!r} contains folders, unlike {sorted(first_level - split)[0]!r}: is it a class? Rename it.'
        )
    if first_level and not split and all(name.casefold() in _PARTS for name in first_level):
        raise ValueError(
            f'With {FOLDERS!r} {", ".join(sorted(first_level))[:60]} would be the classes. Put the images into one folder per class.'
        )
    level = 1 if split else 0
    named = {path: plain(parts[path][level]) for path in images}
    entries = (Entry(path.relative_to(root).as_posix(), (name,), f'folder {name!r}') for path, name in named.items())
    holders = [root / name for name in sorted(split)] or [root]
    folders = {path.name for holder in holders for path in holder.iterdir() if path.is_dir() and not is_passed_over(path.name)}
    return Entries(entries, sorted(folders))


def _refuse_loose(loose: Sequence[str]) -> None:
    if loose:
        raise ValueError(
            f'With {FOLDERS!r}, every image must be in the folder of its class, but {counted(len(loose), "image", "is")} not, the first: '
            f'{short(loose[0])}.'
        )


def annotation_folder(folder: Path) -> Entries:
    """Tags from the annotations of another program's data set.

    Raises:
        FileNotFoundError: the folder has no known annotations.
        ValueError: a file is malformed.
    """
    if (folder / 'data.yaml').is_file():
        return Entries(_yolo(folder), yolo_names(folder).values())
    if any((folder / 'Annotations').rglob('*.xml')):
        return Entries(_voc(folder / 'Annotations'))
    if coco := coco_files(folder):
        parts = [read_json_tags(path) for path in coco]
        return Entries((entry for part in parts for entry in part), (name for part in parts for name in part.classes))
    files = sorted(path for path in folder.rglob('*.json') if not path.name.startswith('.'))
    if not files:
        raise FileNotFoundError(
            f'{str(folder)!r} contains no annotations: neither data.yaml, Annotations/*.xml, annotations/instances*.json nor LabelMe '
            f'files. For one folder per class, use {FOLDERS!r}.'
        )
    return Entries(_labelme(path, folder) for path in files)


def read_cvat(path: Path) -> Entries:
    """Tags of a "CVAT for images" file: labels of tags, boxes, polygons and other shapes.

    Raises:
        ValueError: malformed, or another XML file.
    """
    root = parse_xml(path, root=None)
    images = list(root.iter('image'))
    if root.tag != 'annotations' or not all(image.get('name') for image in images):
        raise ValueError(
            f'{str(path)!r} is not a "CVAT for images" file: expected <annotations> with an <image name="..."> for each image.'
        )
    return Entries(
        Entry(image.get('name') or '', tuple(plain(note.get('label') or '') for note in image if note.get('label')), f'image {number}')
        for number, image in enumerate(images, 1)
    )


def _labelme(path: Path, folder: Path) -> Entry:
    file = read_json(path, _LabelMeFile, 'a LabelMe file')
    name = path.parent.relative_to(folder) / PureWindowsPath(file.imagePath).name
    flagged = [flag for flag, is_set in (file.flags or {}).items() if is_set]
    return Entry(name.as_posix(), tuple(map(plain, [*flagged, *(shape.label for shape in file.shapes)])), path.name)


def _voc(folder: Path) -> Iterable[Entry]:
    for path in sorted(folder.rglob('*.xml')):
        found = [element for element in parse_xml(path).iter('object') if not is_difficult(element)]
        names = (plain(element.findtext('name') or '') for element in found)
        yield Entry(path.relative_to(folder).with_suffix('').as_posix(), tuple(filter(None, names)), path.name)


def _yolo(folder: Path) -> Iterable[Entry]:
    """The first word of each line is the class index; the rest is not read."""
    names = yolo_names(folder)
    for path in sorted(folder.rglob('*.txt')):
        parts = path.relative_to(folder).with_suffix('').parts
        if 'labels' not in parts[:-1]:
            continue
        found = set()
        for number, line in enumerate(read_text(path).splitlines(), 1):
            word = line.split(maxsplit=1)[0] if line.strip() else ''
            if word and (not word.isdecimal() or int(word) not in names):
                raise ValueError(f'Line {number} of {str(path)!r} begins with {short(word)}, which is not a class index of data.yaml.')
            found |= {names[int(word)]} if word else set()
        image = '/'.join('images' if part == 'labels' else part for part in parts)
        yield Entry(image, tuple(sorted(map(plain, found))), path.name)

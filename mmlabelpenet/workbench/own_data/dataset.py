"""A data set of your own images and tags, in VOC layout without boxes.

DIR/JPEGImages/            plain images: copied, or converted if they are not plain JPEG or PNG
DIR/ImageSets/Main/        train.txt, test.txt (held out), new.txt (images without a tag)
DIR/tags.csv               the tags, checked
DIR/own_data.json          classes, counts, and the source of each image
"""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mmlabelpenet.files import atomic_folder, given_path, locked, require_file
from mmlabelpenet.formats.file_names import fitted
from mmlabelpenet.formats.image_names import without_suffix
from mmlabelpenet.formats.images import MIN_SIDE, image_size, is_plain, list_images, misnamed_images, read_rgb, unusable
from mmlabelpenet.formats.tag_files import join_tags
from mmlabelpenet.progress import track
from mmlabelpenet.schema import counted, read_json
from mmlabelpenet.workbench.exports.images import jpeg_bytes
from mmlabelpenet.workbench.own_data.splits import stratified_split
from mmlabelpenet.workbench.own_data.tag_folders import FOLDERS, folder_entries
from mmlabelpenet.workbench.own_data.tags import join_copies, listed, match_images, merge_classes, read_entries
from mmlabelpenet.workbench.voc_files import copy_file

RECORD = 'own_data.json'
_LINE = 210  # maximum characters of an error about mismatches
_FEW = 10  # number of images of a class below which a warning is given


class _Record(msgspec.Struct):
    """``own_data.json``."""

    classes: tuple[str, ...]
    splits: dict[str, list[str]]
    sources: dict[str, str]
    converted: dict[str, str]
    tags_from: str = ''


@dataclass(frozen=True)
class OwnData:
    """The content of ``own_data.json``.

    Attributes:
        root: the data set's folder.
        classes: names in label order.
        splits: image ids of ``train``, ``test`` and ``new``.
        sources: original path of each image id.
        converted: ids of converted images, with reasons.
        tags_from: a sentence that describes the source of the tags.
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, list[str]]
    sources: Mapping[str, str]
    converted: Mapping[str, str]
    tags_from: str = ''

    @classmethod
    def load(cls, root: str | Path) -> 'OwnData':
        """Read the record of a data set.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the record is malformed; names the location.
        """
        path = given_path(root) / RECORD
        require_file(path, f'{str(root)!r} is not a data set of own images: it has no {RECORD}. Create it with own_data.py init.')
        record = read_json(path, _Record, 'the record of a data set of own images', 'Create the data set again with own_data.py init.')
        return cls(Path(root), record.classes, record.splits, record.sources, record.converted, record.tags_from)

    def proposals(self, split: str) -> Path:
        """The split's proposal file."""
        return self.root / 'proposals' / f'{split}.npz'


def make_own_data(
    root: str | Path, images: str | Path, tags: str | Path, test_share: float = 0.1, seed: int = 0, max_side: int = 1600, skip: bool = False
) -> tuple[OwnData, list[str]]:
    """Check images and tags and create a data set from them, atomically.

    Args:
        root: the new folder.
        images: folder of images, with or without subfolders.
        tags: as for :func:`read_entries`, or ``'folder-per-class'``.
        test_share: fraction of the tagged images held out for testing, class by class.
        seed: seed of the split.
        max_side: downscale larger images to this longer side; 0 keeps the size.
        skip: skip mismatches instead of raising an error.

    Returns:
        the data set, and warnings.

    Raises:
        FileNotFoundError: no such folder or file, or no image in it.
        FileExistsError: ``root`` is not empty.
        ValueError: images without an entry, entries without an image, unreadable images, images with the same name, or a single class; one
            line with the first of each.
    """
    root, images, tags = given_path(root), given_path(images), given_path(tags)
    if max_side < MIN_SIDE and max_side != 0:
        raise ValueError(f'Images can be downscaled to at least {MIN_SIDE} pixels (0: not at all), got {max_side}.')
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f'{str(root)!r} is not empty. Choose a new folder, or remove this one.')
    paths = list_images(images)
    entries = folder_entries(images, paths) if str(tags) == FOLDERS else read_entries(tags)
    found, unknown, ambiguous = match_images(entries, images, paths)
    broken = unusable(paths)
    missing = [path for path in paths if path not in found and path not in broken]
    found, copies = join_copies({path: names for path, names in found.items() if path not in broken})
    ids, clashes = image_ids(images, list(found))
    misnamed = [path.relative_to(images).as_posix() for path in misnamed_images(images)]
    problems = _problems(unknown, ambiguous, broken, [path.relative_to(images).as_posix() for path in missing], clashes, misnamed)
    if problems and not skip:
        raise ValueError(f'Images and tags do not match: {_in_short(problems)}. Fix this, or skip all of these with --skip.')
    classes, labels = merge_classes({path: found[path] for path in ids})
    if not classes:
        raise ValueError(f'No image of {str(images)!r} has a tag. Training needs tags.')
    if len(classes) == 1:
        raise ValueError(
            f'There is only one class, {classes[0]!r}: objects cannot be distinguished from their surroundings. Add images of other '
            'classes with their tags.'
        )
    names = {ids[path]: labels[path] for path in sorted(ids, key=lambda path: ids[path])}
    record = dict(classes=classes, seed=seed, test_share=test_share, tags_from=_tags_from(tags))
    data = _write(root, record, names, {ids[path]: path for path in ids}, max_side)
    left_out = [f'{what}: {listed(items)}' for what, items in problems.items()]
    if copies:
        left_out.append(f'{len(copies)} {"image is a copy" if len(copies) == 1 else "images are copies"} of others: {listed(copies)}')
    seen = set(map(str.casefold, classes))
    if unseen := [name for name in dict.fromkeys(entries.classes) if name.casefold() not in seen]:
        left_out.append(f'{counted(len(unseen), "class", "has")} no images and cannot be learnt: {listed([*map(repr, unseen)])}')
    return data, [*left_out, *advice(classes, names)]


def image_ids(root: Path, paths: Sequence[Path]) -> tuple[dict[Path, str], list[str]]:
    """A name for each image that is valid in image lists: without extension, with underscores for spaces, prefixed with its folder if
    needed.

    Returns:
        names, and the images whose names still clash.
    """
    short = {path: '_'.join(path.stem.split()) or '_' for path in paths}  # a name of spaces only
    often = Counter(short.values())
    long = {p: '_'.join('_'.join(p.relative_to(root).with_suffix('').parts).split()) for p in paths}
    ids = {path: fitted(short[path] if often[short[path]] == 1 else long[path], len('.jpg')) for path in paths}
    names = set(ids.values())  # a name that ends in an extension, from a.jpg.png, must not look like another image file
    ids = {path: '_'.join(name.rsplit('.', 1)) if without_suffix(name) in names - {name} else name for path, name in ids.items()}
    taken = Counter(ids.values())
    clashes = [path.relative_to(root).as_posix() for path in paths if taken[ids[path]] > 1]
    return {path: name for path, name in ids.items() if taken[name] == 1}, clashes


def advice(classes: Sequence[str], labels: Mapping[str, Sequence[int]]) -> list[str]:
    """Problems that may impair learning, one sentence each."""
    tagged = {name: set(found) for name, found in labels.items() if found}
    holders = [{name for name, found in tagged.items() if label in found} for label in range(len(classes))]
    sentences = [
        f'{classes[label]!r} is in {counted(len(held), "image")}; at least {_FEW} are needed to learn it.'
        for label, held in enumerate(holders)
        if len(held) < _FEW
    ]
    if any(len(held) == len(tagged) for held in holders):
        always = [repr(classes[label]) for label, held in enumerate(holders) if len(held) == len(tagged)]
        are, they, them = ('is', 'it', 'it') if len(always) == 1 else ('are', 'they', 'them')
        sentences.append(
            f'{listed(always)} {are} in every image, so {they} cannot be distinguished from the surroundings. Add images without {them}.'
        )
    for label, held in enumerate(holders):
        twins = [repr(classes[k]) for k in range(label + 1, len(classes)) if holders[k] == held and len(held) > 1]
        if twins:
            sentences.append(f'{classes[label]!r} and {listed(twins)} always appear together, so they cannot be distinguished.')
    return sentences


def _problems(
    unknown: list[str], ambiguous: list[str], broken: Mapping, missing: list[str], clashes: list[str], misnamed: list[str]
) -> dict[str, list[str]]:
    kinds = {
        ('entry', 'matches', 'no image'): unknown,
        ('entry', 'matches', 'several images (use their paths)'): ambiguous,
        ('image', 'has', 'no entry'): missing,
        ('image', 'has', 'names that differ only in the extension'): clashes,
        ('image', 'has', 'an unknown file extension'): misnamed,
        ('image', 'cannot be', 'used'): [
            message.replace(repr(str(path)), repr(path.name)).replace(str(path), path.name).rstrip('.') for path, message in broken.items()
        ],
    }
    readable = {what: [item if item.isprintable() else repr(item)[1:-1] for item in items] for what, items in kinds.items()}
    return {f'{counted(len(items), noun, verb)} {rest}': items for (noun, verb, rest), items in readable.items() if items}


def _in_short(problems: Mapping[str, list[str]]) -> str:
    """Counts, with the first of each kind if there is room in one line."""
    room = (_LINE - sum(len(what) + 6 for what in problems)) // len(problems)
    return '; '.join(f'{what}: {items[0] if len(items[0]) <= room else items[0][: room - 3] + "..."}' for what, items in problems.items())


def _tags_from(tags: str | Path) -> str:
    if str(tags) == FOLDERS:
        return 'Folder names of the images.'
    path = Path(tags)
    kind = 'annotations in the folder' if path.is_dir() else 'the file'
    return f'Names of images and classes in {kind} {path.name!r}; boxes and masks there were not read.'


def _write(root: Path, record: Mapping, labels: Mapping[str, list[int]], sources: Mapping[str, Path], max_side: int) -> OwnData:
    names, classes = list(labels), record['classes']
    train, test = stratified_split([labels[name] for name in names], record['test_share'], record['seed'], 'test_share')
    if lacking := sorted(set(range(len(classes))) - {label for k in train for label in labels[names[k]]}):
        raise ValueError(
            f'A test share of {record["test_share"]:g} leaves no training image of {classes[lacking[0]]!r}. Use a smaller one.'
        )
    splits = dict(train=[names[k] for k in train], test=[names[k] for k in test], new=[name for name in names if not labels[name]])
    with locked(root), atomic_folder(root) as partial:
        (partial / 'JPEGImages').mkdir()
        (partial / 'ImageSets/Main').mkdir(parents=True)
        converted = {name: why for name in track(names, 'images') if (why := _store(sources[name], partial / 'JPEGImages', name, max_side))}
        for split, members in splits.items():
            (partial / f'ImageSets/Main/{split}.txt').write_text(''.join(f'{name}\n' for name in members), encoding='utf-8')
        with (partial / 'tags.csv').open('w', encoding='utf-8', newline='') as file:
            table = csv.writer(file, lineterminator='\n')
            table.writerows([('image', 'tags'), *((name, join_tags(classes[k] for k in labels[name])) for name in names)])
        record = {**record, 'splits': splits, 'converted': converted, 'sources': {name: str(sources[name]) for name in names}}
        (partial / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    return OwnData.load(root)


def _store(source: Path, folder: Path, name: str, max_side: int) -> str:
    """Copy a plain image or convert another one; returns the reason for a conversion."""
    size = image_size(source)
    large = max_side and max(size) > max_side
    if is_plain(source) and not large:
        with source.open('rb') as file:
            suffix = '.png' if file.read(4) == b'\x89PNG' else '.jpg'
        copy_file(source, folder / f'{name}{suffix}')
        return ''
    (folder / f'{name}.jpg').write_bytes(jpeg_bytes(read_rgb(source, max_side)))
    return f'downscaled from {size[0]} x {size[1]} pixels' if large else 'rotated upright, or stored as 8-bit RGB'

"""Join several VOC years into one devkit, for training on all of them (VOC 2007 and 2012: "07+12")."""

from collections.abc import Sequence
from pathlib import Path

from mmlabelpenet.datasets.voc import VOC_CLASSES, VOCImages
from mmlabelpenet.files import atomic_folder, given_path, locked
from mmlabelpenet.schema import read_text
from mmlabelpenet.workbench.voc_files import copy_file

_FOLDERS = {'JPEGImages': None, 'Annotations': '.xml', 'SegmentationClass': '.png', 'SegmentationObject': '.png'}


def join_devkits(roots: Sequence[str | Path], out: str | Path, joint: str = 'trainval', first: str = 'test') -> dict[str, int]:
    """Write a devkit whose list ``joint`` combines those of all roots, and whose list ``first`` is that of the first root.

    Files are copied (sharing content on file systems that support it). The folder is written atomically.

    Args:
        roots: devkits with distinct image names, such as ``VOC2007`` and ``VOC2012``.
        out: the new folder.
        joint: list to be joined, with ``<class>_<joint>.txt``.
        first: list taken only from the first root.

    Returns:
        images by list.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: a list or an image is missing.
        ValueError: an image is in two lists.
    """
    out, devkits = given_path(out), [VOCImages(root, VOC_CLASSES) for root in roots]
    lists = {joint: [(devkit, devkit.image_ids(joint)) for devkit in devkits], first: [(devkits[0], devkits[0].image_ids(first))]}
    names = [image_id for parts in lists.values() for _, ids in parts for image_id in ids]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'Image {twice!r} is in two of the lists. Lists must not share images.')
    with locked(out), atomic_folder(out) as partial:
        for folder in (*_FOLDERS, 'ImageSets/Main'):
            (partial / folder).mkdir(parents=True)
        for split, parts in lists.items():
            _write_lists(partial / 'ImageSets/Main', split, parts)
            for devkit, ids in parts:
                _copy(devkit, ids, partial)
    return {split: sum(len(ids) for _, ids in parts) for split, parts in lists.items()}


def _copy(devkit: VOCImages, ids: Sequence[str], out: Path) -> None:
    for image_id in ids:
        for folder, suffix in _FOLDERS.items():
            source = devkit.image_path(image_id) if suffix is None else devkit.data_root / folder / f'{image_id}{suffix}'
            if source.is_file():
                target = out / source.relative_to(devkit.data_root)  # images may be in subfolders
                target.parent.mkdir(parents=True, exist_ok=True)
                copy_file(source, target)


def _write_lists(folder: Path, split: str, parts: Sequence[tuple[VOCImages, Sequence[str]]]) -> None:
    (folder / f'{split}.txt').write_text(''.join(f'{image_id}\n' for _, ids in parts for image_id in ids), encoding='utf-8')
    for name in VOC_CLASSES:
        sources = [devkit.data_root / 'ImageSets/Main' / f'{name}_{split}.txt' for devkit, _ in parts]
        if all(source.is_file() for source in sources):
            (folder / f'{name}_{split}.txt').write_text(''.join(read_text(source).rstrip() + '\n' for source in sources), encoding='utf-8')

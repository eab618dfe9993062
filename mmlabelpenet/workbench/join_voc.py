"""Several years of VOC as one devkit, for training on all of them (VOC 2007 and 2012: "07+12")."""

from collections.abc import Sequence
from pathlib import Path

from mmlabelpenet.datasets.voc import VOC_CLASSES, VOCImages
from mmlabelpenet.files import atomic_folder, locked
from mmlabelpenet.workbench.voc_files import copy_file

_FOLDERS = {'JPEGImages': None, 'Annotations': '.xml', 'SegmentationClass': '.png', 'SegmentationObject': '.png'}


def join_devkits(roots: Sequence[str | Path], out: str | Path, joint: str = 'trainval', first: str = 'test') -> dict[str, int]:
    """Write a devkit whose list ``joint`` holds that of all roots, and whose list ``first`` is that of the first root.

    Files are copied (file systems that can share the content). The folder appears whole or not at all.

    Args:
        roots: devkits with other image names from each other, such as ``VOC2007`` and ``VOC2012``.
        out: the new folder.
        joint: list to be joined, with ``<class>_<joint>.txt``.
        first: list taken from the first root alone.

    Returns:
        images by list.

    Raises:
        FileExistsError: ``out`` is there.
        FileNotFoundError: a list or an image is missing.
        ValueError: an image is in two lists.
    """
    out, devkits = Path(out), [VOCImages(root, VOC_CLASSES) for root in roots]
    lists = {joint: [(devkit, devkit.image_ids(joint)) for devkit in devkits], first: [(devkits[0], devkits[0].image_ids(first))]}
    names = [image_id for parts in lists.values() for _, ids in parts for image_id in ids]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'Image {twice!r} is in two of the lists. Join lists that share no image.')
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
                copy_file(source, out / folder / source.name)


def _write_lists(folder: Path, split: str, parts: Sequence[tuple[VOCImages, Sequence[str]]]) -> None:
    (folder / f'{split}.txt').write_text(''.join(f'{image_id}\n' for _, ids in parts for image_id in ids), encoding='utf-8')
    for name in VOC_CLASSES:
        sources = [devkit.data_root / 'ImageSets/Main' / f'{name}_{split}.txt' for devkit, _ in parts]
        if all(source.is_file() for source in sources):
            (folder / f'{name}_{split}.txt').write_text(
                ''.join(source.read_text(encoding='utf-8').rstrip('\n') + '\n' for source in sources), encoding='utf-8'
            )

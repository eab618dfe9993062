"""Build the short lists of VOC 2012 as a separate devkit, from an official VOC 2012.

====================  ======  ==================================================================================================
list                  images  of
====================  ======  ==================================================================================================
``mini_train``        800     the segmentation list ``val``, in their size; 20 classes
``mini_test``         200     the same; ``mini_test_clean`` holds the 176 of them whose derived instance masks have no doubt
``animals_train``     1,427   the augmented training list, with at least one of five animals, reduced to 400 pixels, without masks
``animals_test``      301     ``mini_train`` and ``mini_test``, those that show one of the five animals
====================  ======  ==================================================================================================

Difficult objects count as objects here, also for tags. Images are re-encoded, because the published results were measured on such images.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import cv2
from PIL import Image

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.devkit import Objects
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import atomic_folder, given_path, locked
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.progress import track
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.short_lists.instances import instances_of
from mmlabelpenet.workbench.voc_files import copy_file, make_folders, write_annotation, write_label_image, write_lists

ANIMALS = ('cat', 'cow', 'dog', 'horse', 'sheep')
MINI = ('mini_train', 'mini_test')
LONGEST = 400  # longer side in pixels of an image of animals_train
MASKS = ('derived', 'official')
_QUALITY = dict(mini=90, animals=88)  # of JPEG


def names_of(split: str) -> list[str]:
    """Image names of a list that is part of the package: both mini lists, ``mini_test_clean`` and ``animals_train``.

    >>> [len(names_of(split)) for split in ('mini_train', 'mini_test', 'mini_test_clean', 'animals_train')]
    [800, 200, 176, 1427]
    """
    return (files(__package__) / f'{split}.txt').read_text(encoding='utf-8').split()


def build_short_lists(official: str | Path, out: str | Path, masks: str = 'derived') -> dict[str, int]:
    """Write the devkit, atomically.

    Args:
        official: a VOC 2012 with the images, annotations and segmentations of ``trainval``.
        masks: instance masks of the mini lists: ``'derived'`` from class masks and boxes (:mod:`~.instances`), which the published results
            use, or ``'official'``.

    Returns:
        images by list.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: ``official`` lacks images, annotations or masks.
        ValueError: masks of another kind.
    """
    out, source = given_path(out), VOCDevkit(official)
    if masks not in MASKS:
        raise ValueError(f'masks must be {" or ".join(MASKS)}, got {masks!r}.')
    lists = {split: names_of(split) for split in (*MINI, 'mini_test_clean', 'animals_train')}
    mini = sorted(lists['mini_train'] + lists['mini_test'])
    _check_source(source, mini, lists['animals_train'], masks)
    with locked(out), atomic_folder(out) as folder:
        make_folders(folder)
        shown: dict[str, set[str]] = {}
        segmented = set(mini)
        for image_id in track([*mini, *lists['animals_train']], 'images'):
            objects = source.objects(image_id)
            shown[image_id] = {source.classes[label] for label in objects.labels}
            if image_id in segmented:
                _write_image(folder, image_id, source, objects, _QUALITY['mini'])
                _write_masks(folder, image_id, source, objects, masks)
            else:
                _write_image(folder, image_id, source, objects, _QUALITY['animals'], LONGEST)
        lists['animals_test'] = [image_id for image_id in mini if shown[image_id] & set(ANIMALS)]
        for split, names in lists.items():
            masked = names if split != 'animals_train' else None
            write_lists(folder, split, {image_id: shown[image_id] for image_id in names}, VOC_CLASSES, masked)
    return {split: len(names) for split, names in lists.items()}


def _check_source(source: VOCDevkit, mini: Sequence[str], animals: Sequence[str], masks: str) -> None:
    wanted = [source.data_root / f'{folder}/{image_id}.{end}' for folder, end, ids in _files(mini, animals, masks) for image_id in ids]
    missing = [path for path in wanted if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f'{counted(len(missing), "file", "is", of=len(wanted))} missing, the first is {str(missing[0])!r}. '
            'Pass an official VOC 2012 with trainval.'
        )


def _files(mini: Sequence[str], animals: Sequence[str], masks: str) -> Iterable[tuple[str, str, Sequence[str]]]:
    """Folder, file extension and images of the files that are read."""
    everything = [*mini, *animals]
    yield from (('JPEGImages', 'jpg', everything), ('Annotations', 'xml', everything), ('SegmentationClass', 'png', mini))
    if masks == 'official':
        yield 'SegmentationObject', 'png', mini


def _write_image(folder: Path, image_id: str, source: VOCDevkit, objects: Objects, quality: int, longest: int | None = None) -> None:
    """Image and annotation file, both downscaled if the image is larger."""
    image = read_rgb(source.image_path(image_id))
    scale = min(1.0, longest / max(image.shape[:2])) if longest else 1.0
    if scale < 1:
        height, width = (round(side * scale) for side in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    Image.fromarray(image).save(folder / f'JPEGImages/{image_id}.jpg', quality=quality)
    names = [source.classes[label] for label in objects.labels]
    objects_of = [dict(name=name, difficult=0, bndbox=box) for name, box in zip(names, (objects.bboxes * scale).tolist(), strict=True)]
    write_annotation(folder / f'Annotations/{image_id}.xml', image.shape[:2], objects_of, filename=f'{image_id}.jpg')


def _write_masks(folder: Path, image_id: str, source: VOCDevkit, objects: Objects, masks: str) -> None:
    copy_file(source.data_root / f'SegmentationClass/{image_id}.png', folder / f'SegmentationClass/{image_id}.png')
    target = folder / f'SegmentationObject/{image_id}.png'
    if masks == 'official':
        copy_file(source.data_root / f'SegmentationObject/{image_id}.png', target)
        return
    class_mask = source.class_mask(image_id)
    if class_mask is not None:
        write_label_image(target, instances_of(class_mask, objects.bboxes, objects.labels))

"""The rendered data set in the layout of a VOC devkit: boxes and instance masks for testing, image tags for training.

    root/Annotations/*.xml  JPEGImages/*.jpg  SegmentationClass/*.png  SegmentationObject/*.png
    root/ImageSets/Main/{split}.txt  {class}_{split}.txt   root/ImageSets/Segmentation/{split}.txt   root/rendered.json

Seeded; the same settings give the same bytes. See :mod:`mmlabelpenet.workbench.quickstart.scenes` for what is drawn.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmlabelpenet.files import atomic_folder, locked
from mmlabelpenet.progress import track
from mmlabelpenet.schema import read_json
from mmlabelpenet.workbench.quickstart.scenes import RENDERED_CLASSES, RenderSettings, Scene, render_scene

__all__ = ['RENDERED_CLASSES', 'RENDERED_SPLITS', 'RenderSettings', 'render_dataset', 'voc_palette']

RENDERED_SPLITS = ('train', 'test')
_MARKER = 'rendered.json'
_VERSION = 2  # raise it when the same settings give other pixels
_FOLDERS = ('Annotations', 'JPEGImages', 'SegmentationClass', 'SegmentationObject', 'ImageSets/Main', 'ImageSets/Segmentation')


def render_dataset(root: str | os.PathLike[str], settings: RenderSettings | None = None) -> None:
    """Write the data set under ``root``; does nothing where it stands already.

    Everything is written into a folder beside ``root`` that takes its name when it is complete: an interrupted call leaves no half of
    a data set behind.

    Args:
        root: the folder that is to hold ``Annotations`` and the others.
        settings: what to render; None for the defaults.

    Raises:
        ValueError: ``root`` holds something else, or a data set of other settings.
    """
    root = Path(root)
    settings = settings or RenderSettings()
    if _is_complete(root, settings):
        return
    with locked(root), atomic_folder(root) as partial:
        for folder in _FOLDERS:
            (partial / folder).mkdir(parents=True)
        _write_all(partial, settings)
        (partial / _MARKER).write_text(json.dumps(_marker(settings), indent=1) + '\n')


def voc_palette() -> list[int]:
    """The colours of VOC's label images, 256 x (r, g, b), flat.

    >>> voc_palette()[:9]
    [0, 0, 0, 128, 0, 0, 0, 128, 0]
    """
    flat = []
    for index in range(256):
        for channel in range(3):
            flat.append(sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)))
    return flat


def _marker(settings: RenderSettings) -> dict:
    return {'version': _VERSION, 'classes': list(RENDERED_CLASSES), 'settings': asdict(settings)}


def _is_complete(root: Path, settings: RenderSettings) -> bool:
    """Whether ``root`` is this data set; False where there is nothing, ValueError where there is something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    marker = root / _MARKER
    if not marker.is_file():
        raise ValueError(f'Expected no {str(root)!r} or a rendered data set in it, but it holds other files. Choose another folder.')
    todo = 'Remove the folder to render it anew.'
    if read_json(marker, dict[str, Any], 'the mark of a rendered data set', todo) != _marker(settings):
        raise ValueError(
            f'{str(root)!r} holds a data set rendered with other settings (see {marker.name} there). Remove it or choose another folder.'
        )
    found = sum(1 for _ in (root / 'JPEGImages').glob('*.jpg'))
    if found != settings.num_train + settings.num_test:
        raise ValueError(
            f'{str(root)!r} should hold {settings.num_train + settings.num_test} images, found {found}. '
            'Remove the folder to render it anew.'
        )
    return True


def _write_all(root: Path, settings: RenderSettings) -> None:
    for number, (split, count) in enumerate(zip(RENDERED_SPLITS, (settings.num_train, settings.num_test))):
        present: dict[str, NDArray[np.int64]] = {}
        for index in track(range(count), f'{split} images'):
            image_id = f'{split}_{index:05d}'
            # One generator per image: an image does not depend on those before it.
            scene = render_scene(np.random.default_rng([settings.seed, number, index]), settings)
            _write_scene(root, image_id, scene)
            present[image_id] = scene.labels
        _write_lists(root, split, present)


def _write_lists(root: Path, split: str, present: dict[str, NDArray[np.int64]]) -> None:
    names = ''.join(f'{image_id}\n' for image_id in present)
    (root / f'ImageSets/Main/{split}.txt').write_text(names)
    (root / f'ImageSets/Segmentation/{split}.txt').write_text(names)
    for label, name in enumerate(RENDERED_CLASSES):
        lines = [f'{image_id} {1 if label in labels else -1:2d}\n' for image_id, labels in present.items()]
        (root / f'ImageSets/Main/{name}_{split}.txt').write_text(''.join(lines))


def _write_scene(root: Path, image_id: str, scene: Scene) -> None:
    path = root / f'JPEGImages/{image_id}.jpg'
    if not cv2.imwrite(str(path), scene.image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise OSError(f'{str(path)!r} could not be written.')
    classes = np.concatenate([[0], scene.labels + 1]).astype(np.uint8)[scene.instances]
    for folder, indices in (('SegmentationClass', classes), ('SegmentationObject', scene.instances)):
        image = Image.fromarray(indices)
        image.putpalette(voc_palette())
        image.save(root / f'{folder}/{image_id}.png')
    (root / f'Annotations/{image_id}.xml').write_text(_annotation(image_id, scene))


def _annotation(image_id: str, scene: Scene) -> str:
    """The XML of a scene; boxes surround what is visible, 1-based and inclusive as in VOC."""
    h, w = scene.instances.shape
    objects = []
    for k, (label, visible) in enumerate(zip(scene.labels, scene.visible)):
        ys, xs = np.nonzero(scene.instances == k + 1)
        objects.append(
            f' <object>\n  <name>{RENDERED_CLASSES[label]}</name>\n  <pose>Unspecified</pose>\n  <truncated>0</truncated>\n'
            f'  <occluded>{int(visible < 0.95)}</occluded>\n  <difficult>0</difficult>\n'
            f'  <bndbox><xmin>{xs.min() + 1}</xmin><ymin>{ys.min() + 1}</ymin>'
            f'<xmax>{xs.max() + 1}</xmax><ymax>{ys.max() + 1}</ymax></bndbox>\n </object>\n'
        )
    return (
        f'<annotation>\n <folder>rendered</folder>\n <filename>{image_id}.jpg</filename>\n'
        f' <size><width>{w}</width><height>{h}</height><depth>3</depth></size>\n <segmented>1</segmented>\n'
        f'{"".join(objects)}</annotation>\n'
    )

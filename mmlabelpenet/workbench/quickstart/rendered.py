"""The rendered data set in the layout of a VOC devkit: boxes and instance masks for testing, image tags for training.

    root/Annotations/*.xml  JPEGImages/*.jpg  SegmentationClass/*.png  SegmentationObject/*.png
    root/ImageSets/Main/{split}.txt  {class}_{split}.txt   root/ImageSets/Segmentation/{split}.txt   root/rendered.json

Seeded; the same settings give identical files. :mod:`mmlabelpenet.workbench.quickstart.scenes` describes the content.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmlabelpenet.files import atomic_folder, given_path, locked
from mmlabelpenet.progress import track
from mmlabelpenet.schema import counted, read_json
from mmlabelpenet.workbench.quickstart.scenes import RENDERED_CLASSES, RenderSettings, Scene, render_scene
from mmlabelpenet.workbench.voc_files import make_folders, write_annotation, write_label_image, write_lists

__all__ = ['RENDERED_CLASSES', 'RENDERED_SPLITS', 'RenderSettings', 'render_dataset']

RENDERED_SPLITS = ('train', 'test')
_MARKER = 'rendered.json'
_VERSION = 2  # increase when the same settings give other pixels


def render_dataset(root: str | os.PathLike[str], settings: RenderSettings | None = None) -> None:
    """Write the data set to ``root``, unless it exists already.

    Everything is written to a folder next to ``root`` that is renamed when it is complete, so an interrupted call leaves no partial data
    set.

    Raises:
        ValueError: ``root`` contains something else, or a data set with other settings.
    """
    root = given_path(root)
    settings = settings or RenderSettings()
    if _is_complete(root, settings):
        return
    with locked(root), atomic_folder(root) as partial:
        make_folders(partial)
        _write_all(partial, settings)
        (partial / _MARKER).write_text(json.dumps(_marker(settings), indent=1) + '\n', encoding='utf-8')


def _marker(settings: RenderSettings) -> dict:
    return {'version': _VERSION, 'classes': list(RENDERED_CLASSES), 'settings': asdict(settings)}


def _is_complete(root: Path, settings: RenderSettings) -> bool:
    """Whether ``root`` is this data set; False if nothing is there, raises ValueError if there is something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    marker = root / _MARKER
    if not marker.is_file():
        raise ValueError(
            f'{str(root)!r} must not exist or must be a rendered data set, but it contains other files. Choose another folder.'
        )
    todo = 'Remove the folder to render it again.'
    if read_json(marker, dict[str, Any], 'the mark of a rendered data set', todo) != _marker(settings):
        raise ValueError(
            f'{str(root)!r} contains a data set rendered with other settings (see {marker.name} there). Remove it or choose another folder.'
        )
    found = sum(1 for _ in (root / 'JPEGImages').glob('*.jpg'))
    if found != settings.num_train + settings.num_test:
        raise ValueError(
            f'{str(root)!r} should contain {counted(settings.num_train + settings.num_test, "image")}, found {found}. '
            'Remove the folder to render it again.'
        )
    return True


def _write_all(root: Path, settings: RenderSettings) -> None:
    for number, (split, count) in enumerate(zip(RENDERED_SPLITS, (settings.num_train, settings.num_test))):
        shown: dict[str, set[str]] = {}
        for index in track(range(count), f'{split} images'):
            image_id = f'{split}_{index:05d}'
            # One generator per image, so that images are independent.
            scene = render_scene(np.random.default_rng([settings.seed, number, index]), settings)
            _write_scene(root, image_id, scene)
            shown[image_id] = {RENDERED_CLASSES[label] for label in scene.labels}
        write_lists(root, split, shown, RENDERED_CLASSES, shown)


def _write_scene(root: Path, image_id: str, scene: Scene) -> None:
    encoded = cv2.imencode('.jpg', scene.image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    (root / f'JPEGImages/{image_id}.jpg').write_bytes(encoded.tobytes())
    classes = np.concatenate([[0], scene.labels + 1]).astype(np.uint8)[scene.instances]
    write_label_image(root / f'SegmentationClass/{image_id}.png', classes)
    write_label_image(root / f'SegmentationObject/{image_id}.png', scene.instances)
    objects = []
    for k, (label, visible) in enumerate(zip(scene.labels, scene.visible)):
        ys, xs = np.nonzero(scene.instances == k + 1)
        box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)  # around the visible part
        objects.append(dict(name=RENDERED_CLASSES[label], truncated=0, occluded=int(visible < 0.95), difficult=0, bndbox=box))
    head = dict(folder='rendered', filename=f'{image_id}.jpg', segmented=1)
    write_annotation(root / f'Annotations/{image_id}.xml', scene.instances.shape, objects, **head)

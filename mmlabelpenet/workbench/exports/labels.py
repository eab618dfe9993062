"""Which labels of a store are exported, and which images they belong to.

Shapes: (h, w) image. Boxes: xywh in pixels of the original image, as in the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.formats.file_names import checked_name
from mmlabelpenet.log import warn
from mmlabelpenet.workbench.own_data.splits import stratified_split


@dataclass(frozen=True)
class Labels:
    """Chosen labels.

    Attributes:
        classes: names in label order; the category of class k is k + 1.
        images: the store's entries of images that are left.
        annotations: by the id of the image, highest weight first.
        left_out: what was not taken and how many, for a message.
    """

    classes: tuple[str, ...]
    images: list[dict]
    annotations: dict[int, list[dict]]
    left_out: dict[str, int]


def choose_labels(
    store: PseudoLabelStore, min_weight: float = 0.0, top_k: int = 0, need_mask: bool = False, keep_empty: bool = False
) -> Labels:
    """Choose instances by weight.

    Images without remaining labels are excluded too, because their objects would be learnt as background.

    Args:
        min_weight: labels with a lower weight are excluded.
        top_k: number of labels kept per image, those with the highest weight; 0 keeps all.
        need_mask: leave out instances that have a box only.

    Raises:
        ValueError: nothing is left.
    """
    annotations: dict[int, list[dict]] = {image['id']: [] for image in store.content['images']}
    left_out = dict.fromkeys(('with a lower weight', 'without mask', 'beyond the top_k', 'images without labels'), 0)
    for annotation in sorted(store.content['annotations'], key=lambda a: (-a['weight'], a['id'])):
        found = annotations[annotation['image_id']]
        if annotation['weight'] < min_weight:
            left_out['with a lower weight'] += 1
        elif need_mask and not has_mask(annotation):
            left_out['without mask'] += 1
        elif top_k and len(found) >= top_k:
            left_out['beyond the top_k'] += 1
        else:
            found.append(annotation)
    images = [image for image in store.content['images'] if keep_empty or annotations[image['id']]]
    left_out['images without labels'] = len(annotations) - len(images)
    if not any(annotations.values()):
        why = ', '.join(f'{count} {what}' for what, count in left_out.items() if count)
        raise ValueError(f'No label is left of {len(store.content["annotations"])} ({why}). Lower min_weight, or take boxes too.')
    kept = {image['id'] for image in images}
    return Labels(
        store.classes,
        images,
        {key: found for key, found in annotations.items() if key in kept},
        {name: count for name, count in left_out.items() if count},
    )


def divide(labels: Labels, val_share: float, seed: int) -> dict[str, list[dict]]:
    """Images of ``train`` and, with a share, of ``val``, class by class; those without labels are for training.

    Where the share is less than an image there is no ``val``, with a warning.

    Raises:
        ValueError: nothing is left for training.
    """
    classes = [sorted({a['category_id'] for a in labels.annotations[image['id']]}) for image in labels.images]
    val = set(stratified_split(classes, val_share, seed)[1])
    if len(val) == len(labels.images):
        raise ValueError(f'A validation share of {val_share} leaves none of {len(val)} images for training. Choose a smaller one.')
    if not val:
        if val_share:
            message = f'A validation share of {val_share} sets none of {len(labels.images)} images aside: all are for training.'
            warn(message)
        return dict(train=labels.images)
    parts = ([k for k in range(len(labels.images)) if (k in val) == chosen] for chosen in (False, True))
    return {split: [labels.images[k] for k in part] for split, part in zip(('train', 'val'), parts, strict=True)}


def image_name(image: Mapping) -> str:
    """Path of an image's file below the folder of images.

    Args:
        image: an entry of a store; its id holds the folder where the name of its file does not.

    Raises:
        ValueError: the name leaves the folder.

    >>> image_name(dict(img_id='day/0001', file_name='0001.jpg'))
    'day/0001.jpg'
    """
    name, identity = PurePosixPath(checked_name(image['file_name'], 'a file_name of the store')), PurePosixPath(str(image['img_id']))
    if len(name.parts) == 1 and identity.name in (name.stem, name.name):
        name = identity.parent / name
    return checked_name(str(name), 'an img_id of the store')


def has_mask(annotation: Mapping) -> bool:
    """Whether an instance has any pixel, and not a box alone."""
    return bool(annotation['segmentation']) and bool(coco_mask.area(annotation['segmentation']))


def decode(annotation: Mapping) -> NDArray[np.bool_]:
    """Mask of an annotation, bool (h, w)."""
    return coco_mask.decode(annotation['segmentation']).view(bool)

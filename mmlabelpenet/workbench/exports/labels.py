"""Select the labels and images to export from a store.

Shapes: (h, w) image. Boxes: xywh in pixels of the original image, as in the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.formats.file_names import below, checked_name
from mmlabelpenet.formats.image_names import SUFFIXES
from mmlabelpenet.log import warn
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.own_data.splits import stratified_split


@dataclass(frozen=True)
class Labels:
    """Selected labels.

    Attributes:
        classes: names in label order; the category of class k is k + 1.
        images: the store's entries of remaining images.
        annotations: by image id, highest weight first.
        left_out: excluded labels and their number, for a message.
    """

    classes: tuple[str, ...]
    images: list[dict]
    annotations: dict[int, list[dict]]
    left_out: dict[str, int]


def choose_labels(
    store: PseudoLabelStore, min_weight: float = 0.0, top_k: int = 0, need_mask: bool = False, keep_empty: bool = False
) -> Labels:
    """Select instances by weight.

    Images without remaining labels are excluded too, because their objects would be learnt as background.

    Args:
        min_weight: labels with a lower weight are excluded.
        top_k: number of labels kept per image, those with the highest weight; 0 keeps all.
        need_mask: exclude instances with only a box.

    Raises:
        ValueError: no label is left.
    """
    if not store.num_instances:
        raise ValueError('The label store contains no labels. Label images with a trained stage first, and check its min_score.')
    annotations: dict[int, list[dict]] = {image['id']: [] for image in store.content['images']}
    left_out = dict.fromkeys(('with a lower weight', 'without mask', 'beyond the top_k', 'image without labels'), 0)
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
    left_out['image without labels'] = len(annotations) - len(images)
    if not any(annotations.values()):
        number = counted(len(store.content['annotations']), 'label')
        raise ValueError(f'None of {number} is left ({told(left_out)}). Lower min_weight, or include boxes.')
    kept = {image['id'] for image in images}
    return Labels(
        store.classes,
        images,
        {key: found for key, found in annotations.items() if key in kept},
        {name: count for name, count in left_out.items() if count},
    )


def told(left_out: Mapping[str, int]) -> str:
    """Excluded labels as text.

    >>> told({'without mask': 2, 'beyond the top_k': 0, 'image without labels': 1})
    '2 without mask, 1 image without labels'
    """
    return ', '.join(counted(count, what) if what.startswith('image') else f'{count} {what}' for what, count in left_out.items() if count)


def divide(labels: Labels, val_share: float, seed: int) -> dict[str, list[dict]]:
    """Split images into ``train`` and, with a share, ``val``, class by class; images without labels are used for training.

    If the share is less than one image, there is no ``val``, with a warning.

    Raises:
        ValueError: no image is left for training.
    """
    classes = [sorted({a['category_id'] for a in labels.annotations[image['id']]}) for image in labels.images]
    val = set(stratified_split(classes, val_share, seed, 'val_share')[1])
    if len(val) == len(labels.images):
        number = counted(len(val), 'image')
        raise ValueError(f'A validation share of {val_share} leaves none of {number} for training. Choose a smaller one.')
    if not val:
        if val_share:
            number = counted(len(labels.images), 'image')
            warn(f'A validation share of {val_share} is less than one of {number}: all are used for training.')
        return dict(train=labels.images)
    parts = ([k for k in range(len(labels.images)) if (k in val) == chosen] for chosen in (False, True))
    return {split: [labels.images[k] for k in part] for split, part in zip(('train', 'val'), parts, strict=True)}


def image_name(image: Mapping) -> str:
    """Path of an image file below the image folder.

    Args:
        image: an entry of a store; its id contains the folder if its file name does not.

    Raises:
        ValueError: the name leaves the folder.

    >>> image_name(dict(img_id='day/0001', file_name='0001.jpg'))
    'day/0001.jpg'
    """
    name, identity = PurePosixPath(checked_name(image['file_name'], 'a file_name of the store')), PurePosixPath(str(image['img_id']))
    if len(name.parts) == 1 and identity.name in (name.stem, name.name):
        name = identity.parent / name
    return checked_name(str(name), 'an img_id of the store')


def file_below(folder: str | Path, image: Mapping) -> str:
    """Path of an existing image file below a folder.

    A store without file names has ids without extension, so a name that is not a file is completed if there is exactly one such image.

    Args:
        folder: the image folder.
        image: an entry of a store.
    """
    name = image_name(image)
    if below(folder, name).is_file():
        return name
    found = [name + end for suffix in SUFFIXES for end in (suffix, suffix.upper()) if below(folder, name + end).is_file()]
    return found[0] if len(found) == 1 else name


def has_mask(annotation: Mapping) -> bool:
    """Whether an instance has a mask, not only a box."""
    return bool(annotation['segmentation']) and bool(coco_mask.area(annotation['segmentation']))


def decode(annotation: Mapping) -> NDArray[np.bool_]:
    """Mask of an annotation, bool (h, w)."""
    return coco_mask.decode(annotation['segmentation']).view(bool)

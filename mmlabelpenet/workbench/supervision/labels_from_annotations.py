"""Labels from annotations instead of those of a stage, to measure the benefit of a perfect hand-over."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.devkit import Devkit, Masks, Objects
from mmlabelpenet.evaluation.overlaps import box_iou, encode_masks
from mmlabelpenet.files import locked
from mmlabelpenet.progress import track
from mmlabelpenet.structures import pseudo_instances

SUPERVISION = 'annotated boxes and masks'
"""The value of ``supervision`` in the header of such a store; stores written by a stage lack the key."""


def labels_from_annotations(devkit: Devkit, split: str, path: str | Path, min_iou: float = 0.5) -> PseudoLabelStore:
    """Write a label store of the annotated objects of a split, all with weight 1; difficult objects are excluded.

    An object gets the mask of its class whose box overlaps its own most. If that box IoU is below ``min_iou``, and in images without
    instance masks, the mask is empty, which means that only the box is known.

    Args:
        devkit: the annotated data set.
        split: image list of the training.
        path: the store to write.
        min_iou: minimum box IoU for a mask to belong to an object.

    Raises:
        FileNotFoundError: the split, an image or its annotations are missing.
        ValueError: they are damaged, or another process writes the store.
    """
    image_ids = devkit.image_ids(split)
    with locked(path):
        return _write_labels(devkit, image_ids, PseudoLabelWriter(path, dict(supervision=SUPERVISION, split=split)), min_iou)


def _write_labels(devkit: Devkit, image_ids: list[str], writer: PseudoLabelWriter, min_iou: float) -> PseudoLabelStore:
    for image_id in track(image_ids, 'images'):
        image, size, objects = devkit.image_path(image_id), devkit.image_size(image_id), devkit.objects(image_id)
        kept = Objects(*(values[~objects.difficult] for values in (objects.bboxes, objects.labels, objects.difficult)))
        masks = masks_of(kept, devkit.instance_masks(image_id), size, min_iou)
        labels = pseudo_instances(torch.from_numpy(kept.bboxes), torch.from_numpy(kept.labels), masks, torch.ones(len(kept.labels)))
        writer.add(image_id, image.name, size, labels, image)
    return writer.finish(image_ids, devkit.classes)


def masks_of(objects: Objects, masks: Masks | None, size: tuple[int, int], min_iou: float) -> NDArray[np.uint8]:
    """The mask of each object, uint8 (G, h, w), empty if there is none with a box IoU of at least ``min_iou``.

    >>> square = np.zeros((1, 4, 4), bool)
    >>> square[0, 1:3, 1:3] = True
    >>> objects = Objects(np.array([[1, 1, 3, 3], [0, 0, 1, 1]], np.float32), np.array([0, 0]), np.zeros(2, bool))
    >>> masks_of(objects, Masks(np.array([0]), square), (4, 4), 0.5).sum((1, 2)).tolist()
    [4, 0]
    """
    result = np.zeros((len(objects.labels), *size), np.uint8)
    if masks is None or not len(masks.labels) or not len(objects.labels):
        return result
    boxes = coco_mask.toBbox(encode_masks(masks.masks))  # xywh
    iou = box_iou(objects.bboxes, np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1))
    iou[objects.labels[:, None] != masks.labels[None]] = 0
    for number, best in enumerate(iou.argmax(1)):
        if iou[number, best] >= min_iou:
            result[number] = masks.masks[best]
    return result
